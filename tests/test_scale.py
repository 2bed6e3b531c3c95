"""Search, training, scores and use of x3 and x4 networks, end to end on small images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from falsr_nas.controller.settings import RandomSettings
from falsr_nas.data.settings import FolderSettings
from falsr_nas.evaluate import EvaluateConfig, evaluate
from falsr_nas.execution.settings import InlineSettings
from falsr_nas.export import ExportConfig, export
from falsr_nas.models.pretrained import from_pretrained
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search import SearchConfig, search
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.train import TrainConfig, train
from falsr_nas.training.settings import Target, TrainerSettings, TrainingSettings
from falsr_nas.upscale import UpscaleConfig, upscale

SHORT = TrainingSettings(
    epochs=1, steps_per_epoch=2, batch_size=2, patch_size=8, learning_rate=5e-4, warmup=0
)


def paint(folder: Path, count: int, side: int) -> Path:
    """Write smooth images of sides that are no multiples of the scale."""
    folder.mkdir()
    rng = np.random.default_rng(side)
    for i in range(count):
        small = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side + 1, side), Image.Resampling.BICUBIC).save(
            folder / f"{i}.png"
        )
    return folder


@pytest.mark.parametrize(("scale", "stem"), [(3, 36), (4, 48)])
def test_a_search_a_training_and_their_use(scale: int, stem: int, tmp_path: Path) -> None:
    images, val = paint(tmp_path / "train", 2, 61), paint(tmp_path / "val", 1, 74)
    data = FolderSettings(train_dirs=(str(images),), val_dir=str(val), val_crop=48)
    both = ("paper", "subpixel")
    space = SearchSpace(
        n=2, channels=(8,), repeats=(1,), stems=(stem,), upsamplers=both, scale=scale
    )
    found = search(
        SearchConfig(
            space=space,
            constraints=Constraints(),
            controller=RandomSettings(population_size=4),
            training=SHORT,
            data=data,
            execution=InlineSettings(),
            candidates=4,
            run_dir=str(tmp_path / "search"),
        )
    )
    assert [e.score is not None for e in found.evaluations] == [True] * 4
    assert all(e.candidate.genome in space for e in found.evaluations)
    assert (tmp_path / "search" / "report.html").stat().st_size > 10_000

    (trained,) = train(
        TrainConfig(
            run_dir=str(tmp_path / "search"),
            select="psnr",
            n=1,
            training=SHORT,
            trainer=TrainerSettings(accelerator="cpu"),
            data=data,
            benchmark_root=str(tmp_path),
            sets=("val",),
        )
    )
    assert trained.genome.scale == scale
    model = from_pretrained(trained.folder)
    assert model.network.scale == scale
    assert json.loads((trained.folder / "config.json").read_text())["scale"] == scale
    assert f"An x{scale} super-resolution network" in (trained.folder / "README.md").read_text()

    scores = evaluate(
        EvaluateConfig(model=str(trained.folder), data_root=str(tmp_path), sets=("val",))
    )
    assert scores.scale == scale
    assert trained.score is not None
    assert scores.sets[0].mean == trained.score.sets[0].mean
    bicubic = evaluate(
        EvaluateConfig(model=f"bicubic_x{scale}", data_root=str(tmp_path), sets=("val",))
    )
    # Two steps from bilinear interpolation; a shift of one pixel would cost 10 dB and more.
    assert bicubic.sets[0].mean.psnr > scores.sets[0].mean.psnr > 30

    larger = tmp_path / "larger.png"
    upscale(UpscaleConfig(model=str(trained.folder), input=str(val / "0.png"), output=str(larger)))
    with Image.open(val / "0.png") as before, Image.open(larger) as after:
        assert after.size == (scale * before.width, scale * before.height)

    exported = tmp_path / "model.pt"
    export(ExportConfig(model=str(trained.folder), output=str(exported)))
    run = torch.jit.load(exported)
    assert run(torch.rand(1, 3, 9, 7)).shape == (1, 3, 9 * scale, 7 * scale)


def test_models_of_one_scale_are_not_taken_for_another(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from falsr_nas.core.errors import UserError
    from falsr_nas.models.model_file import load_model, save_model
    from falsr_nas.networks.network import Network
    from falsr_nas.space.genome import Genome

    path = tmp_path / "m.safetensors"
    network = Network(Genome.parse("stem_f4 conv_f4_k1_b1_noskip subpixel_x3"))
    save_model(path, network, {})
    assert load_model(path).network.scale == 3
    metadata = {"scale": "2", "genome": json.dumps(network.genome.to_json())}
    save_file(load_file(path), path, metadata)
    with pytest.raises(UserError, match="has scale 2, but its network is for x3"):
        load_model(path)


def test_targets_of_other_scales_begin_at_bilinear_interpolation() -> None:
    from torch.nn.functional import interpolate

    from falsr_nas.networks.network import BilinearResidual
    from falsr_nas.space.genome import Genome
    from falsr_nas.training.initialization import initialized_network
    from falsr_nas.training.settings import Initialization

    assert SHORT.target is Target.residual
    for name, stem in (("subpixel_x3", 8), ("paper_x4", 16)):
        genome = Genome.parse(f"stem_f{stem} conv_f8_k3_b1_noskip {name}")
        network = initialized_network(genome, Initialization.scaled_he, True, seed=1)
        y = torch.rand(2, 1, 12, 10)
        size = [genome.scale * side for side in (12, 10)]
        expected = interpolate(y, size, mode="bilinear", align_corners=False)
        torch.testing.assert_close(BilinearResidual(network)(y), expected, rtol=0, atol=1e-6)


def test_a_training_starts_with_the_body_of_an_x2_model(tmp_path: Path) -> None:
    from falsr_nas.core.errors import UserError
    from falsr_nas.models.model_file import save_model
    from falsr_nas.networks.network import Network
    from falsr_nas.space.genome import Genome

    images, val = paint(tmp_path / "train", 1, 61), paint(tmp_path / "val", 1, 74)
    body = "stem_f16 conv_f8_k3_b2_isskip conv_f8_k3_b1_noskip"
    torch.manual_seed(5)
    trained = Network(Genome.parse(f"{body} | 0->2 0->3"))
    path = tmp_path / "x2.safetensors"
    save_model(path, trained, {})
    barely = TrainingSettings(
        epochs=1, steps_per_epoch=1, batch_size=1, patch_size=8, warmup=0, learning_rate=1e-9
    )

    def started(genome: str) -> Network:
        config = TrainConfig(
            genome=genome,
            output=str(tmp_path / "out"),
            training=barely,
            trainer=TrainerSettings(accelerator="cpu"),
            data=FolderSettings(train_dirs=(str(images),), val_dir=str(val), val_crop=48),
            start_from=str(path),
        )
        (one,) = train(config)
        assert json.loads((one.folder / "recipe.json").read_text())["start_from"] == str(path)
        return from_pretrained(one.folder).network.network

    network = started(f"{body} paper_x4 | 0->2")
    assert network.scale == 4
    for name, weight in network.state_dict().items():
        if name.startswith(("stem.", "cells.")):
            torch.testing.assert_close(weight, trained.state_dict()[name], rtol=0, atol=1e-6)
    with pytest.raises(UserError, match="has a different stem or cells than"):
        started(f"{body} paper_x4 |")
