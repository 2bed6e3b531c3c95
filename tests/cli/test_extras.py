"""What is said where the packages of an extra are missing."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from commands import run
from falsr_nas.cli.command import OF_SEARCH

ROOT = Path(__file__).parents[2]
MODULES = {"scikit_image": "skimage"}
WITH_LIGHTNING = {"lightning_fabric"}


def test_the_modules_are_those_of_the_extra_search() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=]", one)[0] for one in project["optional-dependencies"]["search"]]
    modules = {MODULES.get(name.replace("-", "_"), name.replace("-", "_")) for name in names}
    assert modules | WITH_LIGHTNING == set(OF_SEARCH)


def test_a_missing_package_is_named_with_what_installs_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['thop'] = None\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    words = ("describe", "FALSR-A", "--check")
    done = run("falsr_nas", *words, folder=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stderr == (
        "error: describe needs thop, which is not installed: pip install 'falsr-nas[search]'\n"
    )
