"""Profiles of devices that are not at hand: the folder of networks, its script, and the times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.profile import ProfileConfig, profile
from falsr_nas.profiling.device import reference_network
from falsr_nas.space.search_space import SearchSpace

SMALL = SearchSpace(n=2, channels=(4, 8), stems=(8,), repeats=(1,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("elsewhere") / "phone"
    config = ProfileConfig(
        str(path), SMALL, width=48, height=32, threads=1, networks=5, export=True
    )
    assert profile(config) is None
    return path


def test_the_script_alone_times_the_folder(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(folder / "time_networks.py"), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    config = ProfileConfig(
        str(tmp_path / "phone.json"), times=str(folder / "times.csv"), cpu="a phone"
    )
    made = profile(config)
    assert made is not None
    assert (made.cpu, made.backend, made.threads) == ("a phone", "onnxruntime", 1)
    assert (made.width, made.height, made.reference) == (48, 32, reference_network(2))
    assert len(made.networks) == 5


def test_times_are_those_of_the_genomes(folder: Path, tmp_path: Path) -> None:
    rows = json.loads((folder / "networks.json").read_text())["networks"]
    assert rows[0]["input"] == [1, 1, 16, 24]
    lines = [f"{row['file']},{10 + i}" for i, row in enumerate(rows) if i != 3]
    times = folder / "other.csv"
    times.write_text("\n".join(["file,ms", *lines[::-1]]))
    made = profile(ProfileConfig(str(tmp_path / "phone.json"), times=str(times)))
    assert made is not None
    assert made.reference_ms == 10
    found = {str(one.genome): one.milliseconds for one in made.networks}
    assert found == {row["genome"]: 10 + i for i, row in enumerate(rows) if i not in (0, 3)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table of the columns file and ms"),
        ("file,ms\n000.onnx,fast", "no table of the columns"),
        ("file,ms\n001.onnx,3", "no table of the columns .*000.onnx"),
        ("file,ms\n000.onnx,3\n001.onnx,4", "has 1 networks: give 4 or more"),
        (None, "cannot read .*none.csv"),
    ],
)
def test_other_tables_are_refused(folder: Path, text: str | None, message: str) -> None:
    times = folder / "none.csv"
    if text is not None:
        times = folder / "wrong.csv"
        times.write_text(text)
    with pytest.raises(UserError, match=message):
        profile(ProfileConfig(str(folder / "phone.json"), times=str(times)))


def test_only_some_backends_have_files(tmp_path: Path) -> None:
    config = ProfileConfig(str(tmp_path / "x"), SMALL, backend="torch", networks=4, export=True)
    with pytest.raises(UserError, match="a folder is for onnxruntime or ncnn"):
        profile(config)
