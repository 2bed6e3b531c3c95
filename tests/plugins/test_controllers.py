"""The controllers of plugins/ on the command line; tests/controller has their conformance."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import CONTROLLER_PLUGINS
from falsr_nas.archive.store import Store


def search(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (plugin,) = (path for path in CONTROLLER_PLUGINS if path.stem.startswith(name))
    small = ("evaluator=synthetic", "tracking=none", "candidates=8", "run_dir=run")
    few = ("controller.population_size=4", "execution=processes", "execution.workers=1")
    chosen = (f"plugins=[{plugin}]", f"controller={name}", *small, *few, *arguments)
    return subprocess.run(
        [sys.executable, "-m", "falsr_nas.search", *chosen],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("aging", "controller.exploration.p_attribute=0.5"),
        ("pymoo", "controller.p_crossover=0.5"),
        ("optuna", "controller.sampler=tpe"),
    ],
)
def test_the_command_searches_with_the_controller(name: str, setting: str, tmp_path: Path) -> None:
    if name != "aging" and find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    done = search(name, tmp_path, setting)
    assert done.returncode == 0, done.stderr
    key, _, value = setting.partition("=")
    with Store(tmp_path / "run" / "search.db") as store:
        assert store.count() == 8
        assert (store.config["controller"], str(store.config[key])) == (name, value)


@pytest.mark.parametrize("name", ["pymoo", "optuna"])
def test_a_missing_library_gets_one_line(name: str, tmp_path: Path) -> None:
    missing = f"raise ModuleNotFoundError('No module named {name}', name='{name}')"
    (tmp_path / f"{name}.py").write_text(missing)
    done = search(name, tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line == (
        f"error: controller={name} needs a library that is not installed ({name}):"
        " pip install 'falsr-nas[compare]'"
    )
