"""The first minutes of the README, typed in an empty folder with the wheel alone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from falsr_nas.data.settings import FolderSettings
from falsr_nas.search import SearchConfig
from falsr_nas.search.__main__ import train_command
from test_docs import ROOT, photograph

SMALLER = {
    "search": ("--candidates", "4", "--training.epochs", "1", "--controller.population-size", "4"),
    "train": ("--training.epochs", "1", "--training.steps-per-epoch", "20"),
}
"""What is typed in addition in the quick test; of two values of a setting, the last one counts."""


def commands() -> list[list[str]]:
    """The commands as the README prints them, without comments."""
    section = (ROOT / "README.md").read_text().partition("## First minutes")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed, without what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    quick = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *quick, "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    return site


def typed(words: list[str], site: Path, folder: Path) -> str:
    """What a command prints; its package is that of the wheel."""
    assert words[0] == "falsr-nas"
    assert not any("=" in word for word in words), "typed without ="
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(site / "bin" / "falsr-nas"), *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout


def test_the_wheel_is_complete(installed: Path, tmp_path: Path) -> None:
    where = "import falsr_nas; print(falsr_nas.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(installed)
    assert typed(["falsr-nas", "--version"], installed, tmp_path) == "falsr-nas 0.2.0\n"


def test_the_next_command_trains_on_the_images_of_the_search(tmp_path: Path) -> None:
    folder = FolderSettings(train_dirs=("a b", "c"), val_dir="val", val_crop=64)
    words = shlex.split(train_command(SearchConfig(data=folder), tmp_path / "run"))
    assert words[words.index("--data") :] == [
        *("--data", "folder", "--data.val-crop", "64"),
        *("--data.train-dirs", "a b,c", "--data.val-dir", "val"),
    ]
    assert "--data" not in train_command(SearchConfig(), tmp_path)


@pytest.mark.parametrize("smaller", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_first_minutes(smaller: bool, installed: Path, tmp_path: Path) -> None:
    """Each command makes what it should, and prints the next; the training improves the network."""
    photograph(tmp_path / "photo.jpg", 77, side=64)
    printed: dict[str, str] = {}
    for words in commands():
        more = SMALLER.get(words[1], ()) if smaller else ()
        printed[words[1]] = typed([*words, *more], installed, tmp_path)
    assert Image.open(tmp_path / "photo_x2.jpg").size == (128, 128)
    assert "<html" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "outputs/demo/report.html").exists()
    assert Image.open(tmp_path / "larger.png").size == (128, 128)
    assert (tmp_path / "model.onnx").exists()
    trained = next(words for words in commands() if words[1] == "train")
    following = re.search(r"^next: +(.*)$", printed["search"], re.MULTILINE)
    assert following is not None
    assert shlex.split(following[1]) == trained
    assert "falsr-nas upscale photo.jpg --model outputs/demo/trained/best" in printed["train"]
    assert "falsr-nas export outputs/demo/trained/best model.onnx" in printed["train"]
    if not smaller:
        found = max(float(psnr) for psnr in re.findall(r" (3\d\.\d\d) ", printed["search"]))
        (after,) = re.findall(r": (3\d\.\d\d) dB on the validation images", printed["train"])
        assert float(after) > found
