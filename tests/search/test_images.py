"""A search and a training are of their images, wherever these are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falsr_nas.archive.store import Store
from falsr_nas.controller.settings import RandomSettings
from falsr_nas.core.errors import UserError
from falsr_nas.data.identity import IMAGES
from falsr_nas.data.settings import FolderSettings
from falsr_nas.execution.settings import InlineSettings
from falsr_nas.search import SearchConfig, search
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.train import TrainConfig, train
from falsr_nas.training.settings import TrainingSettings

TINY = SearchSpace(n=1, operators=("conv",), channels=(4, 8), kernels=(1, 3), stems=(8,))
BRIEF = TrainingSettings(epochs=1, steps_per_epoch=2, batch_size=2, patch_size=8)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the folders A and B, of the same names and other images."""
    rng = np.random.default_rng(0)
    for name in ("A/t/0.png", "A/t/1.png", "A/v/a.png", "B/t/0.png", "B/t/1.png", "B/v/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path / "A")
    return tmp_path


def images(folder: str) -> FolderSettings:
    return FolderSettings(train_dirs=(f"{folder}/t",), val_dir=f"{folder}/v", val_crop=32)


def test_a_search_goes_on_with_the_same_images_only(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SearchConfig(
        space=TINY,
        controller=RandomSettings(population_size=2),
        training=BRIEF,
        data=images("."),
        execution=InlineSettings(),
        candidates=2,
        run_dir=str(desk / "run"),
    )
    search(config)
    monkeypatch.chdir(desk / "B")
    more = replace(config, candidates=4)
    for place in (".", str(desk / "B")):
        with pytest.raises(UserError, match="training image 0.png has changed, training image 1"):
            search(replace(more, data=images(place)))
    with Store(desk / "run/search.db") as store:
        assert store.count() == 2
    shutil.copytree(desk / "A", desk / "C")
    assert len(search(replace(more, data=images("../C"))).evaluations) == 4
    (desk / "run" / IMAGES).unlink()  # as earlier versions: words are compared
    with pytest.raises(UserError, match="data.train_dirs is .* there and .* here"):
        search(replace(more, data=images("../C"), candidates=5))
    monkeypatch.chdir(desk / "A")
    assert len(search(replace(more, data=images("."), candidates=5)).evaluations) == 5
    monkeypatch.chdir(desk)
    assert len(search(replace(more, data=images("A"), candidates=6)).evaluations) == 6


def test_a_training_goes_on_with_the_same_images_only(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(
        genome="stem_f4 conv_f4_k1_b1_noskip | ",
        training=BRIEF,
        data=images("."),
        output=str(desk / "trained"),
    )
    (first,) = train(config)
    monkeypatch.chdir(desk / "B")
    with pytest.raises(UserError, match="validation image a.png has changed"):
        train(config)
    (again,) = train(replace(config, data=images("../A")))
    assert again.curve == first.curve
    (first.folder / IMAGES).unlink()
    with pytest.raises(UserError, match="data.train_dirs"):
        train(replace(config, data=images("../A")))


def test_flat_validation_images_are_one_line(desk: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(desk / "A/v/a.png")
    config = SearchConfig(space=TINY, training=BRIEF, data=images("."), execution=InlineSettings())
    with pytest.raises(UserError, match="the validation images are flat"):
        search(replace(config, run_dir=str(desk / "run")))
    with pytest.raises(UserError, match="the validation images are flat"):
        train(TrainConfig(genome="FALSR-A", training=BRIEF, data=images("."), output="trained"))
    assert not (desk / "run/search.db").exists()
