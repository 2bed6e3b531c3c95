"""The notebooks' code, run on a search made here. They read a finished search and never start one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    arguments = ("evaluator=synthetic", "execution=inline", "tracking=none", "candidates=48", f"run_dir={folder}")
    subprocess.run([sys.executable, "-m", "falsr_nas.search", *arguments], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook: Path, run_dir: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    environment = os.environ | {"RUN_DIR": str(run_dir), "RUN_DIRS": os.pathsep.join([str(run_dir)] * 2)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "48 candidates, 0 failures" in done.stdout
    assert all(not cell.get("outputs") for cell in cells), "notebooks are kept without outputs"
