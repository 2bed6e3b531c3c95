from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from falsr_nas.data import pairs as pairs_module
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import read_image
from falsr_nas.data.settings import FolderSettings, PhotographsSettings


@pytest.fixture
def folders(tmp_path: Path, save_noise) -> FolderSettings:
    for i in range(3):
        save_noise(tmp_path / f"train/{i}.png", seed=i)
    save_noise(tmp_path / "val/a.png", seed=3)
    return FolderSettings(train_dirs=(str(tmp_path / "train"),), val_dir=str(tmp_path / "val"))


def data(settings: FolderSettings, **changes: int) -> SuperResolutionData:
    return SuperResolutionData(
        settings,
        **{"batch_size": 4, "patch_size": 12, "steps_per_epoch": 7, "steps_per_call": 3} | changes,
    )


@pytest.mark.parametrize(
    ("steps", "per_call", "calls"),
    [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 3, [2]), (3, 1, [1, 1, 1])],
)
def test_steps_of_an_epoch_are_divided_among_calls(
    folders: FolderSettings, steps: int, per_call: int, calls: list[int]
) -> None:
    loader = data(folders, steps_per_epoch=steps, steps_per_call=per_call).train_dataloader()
    assert list(loader) == calls and len(loader) == len(calls)


def test_photographs_need_no_setting() -> None:
    photographs = SuperResolutionData(
        PhotographsSettings(), batch_size=2, patch_size=64, steps_per_epoch=1
    )
    lr, hr = photographs.batches(torch.Generator().manual_seed(0))()
    assert lr.shape == (2, 1, 64, 64) and hr.shape == (2, 1, 128, 128)
    ((lr, hr),) = photographs.val_dataloader()
    assert lr.shape == (3, 1, 96, 96) and hr.shape == (3, 1, 192, 192)
    assert 0 <= hr.min() < hr.max() <= 1 + 1e-6


class Counting(pl.LightningModule):
    """Records what Lightning passes to it."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.calls: list[int] = []
        self.shapes: list[torch.Size] = []

    def training_step(self, steps: int) -> None:
        self.calls.append(steps)

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.shapes.append(batch[0].shape)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_trainers_share_one_decoding(
    folders: FolderSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        pairs_module, "read_image", lambda path: read.append(path) or read_image(path)
    )
    module_data = data(folders)
    for _ in range(2):
        module = Counting()
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, datamodule=module_data)
        assert module.calls == [3, 3, 1] * 2
        assert module.shapes == [(1, 1, 18, 20)] * 2
    assert len(read) == 4


def test_a_pool_is_copied_to_a_device_once(folders: FolderSettings) -> None:
    module_data = data(folders)
    assert module_data.pool("cpu") is module_data.pool(torch.device("cpu"))
    assert module_data.pool("meta") is module_data.pool("meta")
    assert module_data.pool("meta").device.type == "meta"


def test_batches_are_the_pools_samples(folders: FolderSettings) -> None:
    module_data = data(folders)
    pool = module_data.pool()
    draw = module_data.batches(torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    for _ in range(2):
        given, expected = draw(), pool.cut(pool.draw(4, generator), 12)
        assert torch.equal(given[0], expected[0]) and torch.equal(given[1], expected[1])


def test_images_smaller_than_the_patch_are_an_error_in_setup(folders: FolderSettings) -> None:
    with pytest.raises(DataError, match=r"train/0\.png is 40x36: it needs at least 38x38"):
        data(folders, patch_size=19).setup()


@pytest.mark.parametrize("name", ["batch_size", "patch_size", "steps_per_epoch", "steps_per_call"])
def test_numbers_below_one_are_named(folders: FolderSettings, name: str) -> None:
    with pytest.raises(DataError, match=f"^{name} is 0"):
        data(folders, **{name: 0})
