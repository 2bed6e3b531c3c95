"""Run the notebooks on a search and a model made here. They only read finished results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from falsr_nas.models.model_file import Model
from falsr_nas.models.pretrained import save_pretrained
from falsr_nas.space.genome import Genome
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.settings import Initialization

SAYS = {
    "01_explore_a_search": "48 candidates, 0 failures",
    "02_compare_controllers": "48 candidates, 0 failures",
    "03_look_at_images": "SSIM",
}
"""A word of each notebook's output."""

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    arguments = (
        "evaluator=synthetic",
        "execution=inline",
        "tracking=none",
        "candidates=48",
        f"run_dir={folder}",
    )
    subprocess.run(
        [sys.executable, "-m", "falsr_nas.search", *arguments], check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    network = initialized_network(
        Genome.parse("stem_f16 conv_f16_k3_b1_noskip |"), Initialization.he, False, seed=1
    )
    save_pretrained(Model(network, "model", {}), folder)
    return folder


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook: Path, run_dir: Path, model: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    environment = os.environ | {
        "RUN_DIR": str(run_dir),
        "RUN_DIRS": os.pathsep.join([str(run_dir)] * 2),
        "MODEL": str(model),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[notebook.stem] in done.stdout
    if "hypervolume " in done.stdout:
        reported = json.loads((run_dir / "pareto.json").read_text())["hypervolume"]
        assert f"hypervolume {reported:.4f}" in done.stdout
    assert all(not cell.get("outputs") for cell in cells), "notebooks are kept without outputs"
