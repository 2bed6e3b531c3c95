"""What a user of Lightning expects of the module: metrics, steps, callbacks and loggers."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch.nn.functional import interpolate

from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.models.model_file import load_model
from falsr_nas.space.lookup import find_genome
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.module import SuperResolution
from falsr_nas.training.schedule import learning_rates
from falsr_nas.training.settings import TrainingSettings
from falsr_nas.training.strip import IMAGES, SIDE, strip
from falsr_nas.training.trainer import quiet_lightning

SETTINGS = TrainingSettings(epochs=3, steps_per_epoch=30, batch_size=2, patch_size=8)


def test_the_module_works_in_a_trainer_of_ones_own(tmp_path: Path) -> None:
    genome = find_genome("stem_f4 conv_f4_k1_b1_noskip | ")
    network = initialized_network(genome, SETTINGS.initialization, SETTINGS.zero_output, seed=1)
    data = SuperResolutionData(
        PhotographsSettings(val_crop=32), batch_size=2, patch_size=8, steps_per_epoch=30
    )
    best = ModelCheckpoint(
        tmp_path / "best", monitor="psnr", mode="max", filename="{step}-{psnr:.2f}"
    )
    with quiet_lightning():
        trainer = pl.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=CSVLogger(tmp_path, name="logs"),
            callbacks=[best],
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(SuperResolution(network, SETTINGS, data, seed=1), datamodule=data)
    assert trainer.global_step == SETTINGS.steps
    with (tmp_path / "logs/version_0/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = {int(row["step"]): float(row["loss"]) for row in rows if row["loss"]}
    assert [*losses] == [25, 30, 55, 60, 85, 90]
    rates = learning_rates(SETTINGS)
    for row in rows:
        if row["learning_rate"]:
            assert float(row["learning_rate"]) == pytest.approx(float(rates[int(row["step"]) - 1]))
    scores = {int(row["step"]): float(row["psnr"]) for row in rows if row["psnr"]}
    assert [*scores] == [30, 60, 90]
    step = max(scores, key=scores.get)  # type: ignore[arg-type]
    assert Path(best.best_model_path).name == f"step={step}-psnr={scores[step]:.2f}.ckpt"
    assert load_model(Path(best.best_model_path)).network.scale == 2


def test_a_strip_shows_interpolation_output_and_original() -> None:
    low, high = torch.rand(5, 1, 60, 70), torch.rand(5, 1, 120, 140)
    output = torch.randn(5, 1, 120, 140)
    found = strip(low, output, high)
    assert (found.shape, found.dtype) == ((IMAGES * SIDE, 3 * SIDE), np.uint8)
    top, left = (120 - SIDE) // 2, (140 - SIDE) // 2
    smooth = interpolate(low, scale_factor=2, mode="bicubic")
    for row in range(IMAGES):
        for column, planes in enumerate((smooth, output, high)):
            part = found[SIDE * row : SIDE * (row + 1), SIDE * column : SIDE * (column + 1)]
            expected = planes[row, 0, top : top + SIDE, left : left + SIDE].clamp(0, 1) * 255
            assert np.abs(part - expected.numpy()).max() <= 1
    small = strip(low[:1, :, :20, :20], output[:1, :, :40, :40], high[:1, :, :40, :40])
    assert small.shape == (SIDE, 3 * SIDE)
    assert small[:, :SIDE][40:].max() == 0


def test_real_warnings_are_shown_and_advice_is_not() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with quiet_lightning():
            warnings.warn("does not have many workers", PossibleUserWarning, stacklevel=1)
            warnings.warn("something is wrong", UserWarning, stacklevel=1)
    assert [str(one.message) for one in shown] == ["something is wrong"]
