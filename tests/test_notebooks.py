"""The notebooks, run by a kernel on a search and a model made here, and as they are stored."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

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


IMAGES = {"01_explore_a_search": 1, "02_compare_controllers": 2, "03_look_at_images": 2}
"""How many images each notebook shows."""


def outputs(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    return [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]


def texts(notebook: nbformat.NotebookNode) -> str:
    """What the outputs say, without images."""
    found = []
    for output in outputs(notebook):
        kinds = output.get("data", {}).items()
        found += [output.get("text", ""), *(text for kind, text in kinds if "image" not in kind)]
    return "\n".join(found)


def images(notebook: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_kernel_runs_every_cell_and_shows_the_figures(
    path: Path,
    run_dir: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("RUN_DIR", str(run_dir))
    monkeypatch.setenv("RUN_DIRS", os.pathsep.join([str(run_dir)] * 2))
    monkeypatch.setenv("MODEL", str(model))
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, resources=place).execute()  # raises where a cell does
    said = texts(notebook)
    assert SAYS[path.stem] in said
    assert images(notebook) == IMAGES[path.stem]
    if "hypervolume" in said:
        reported = json.loads((run_dir / "pareto.json").read_text())["hypervolume"]
        assert f"hypervolume {reported:.4f}" in said
        growth = re.findall(r"generation \d+: hypervolume (\S+)", said)
        assert growth[-1:] in ([], [f"{reported:.4f}"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_their_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert images(notebook) == IMAGES[path.stem]
    assert not [one for one in outputs(notebook) if "stderr" in str(one.get("name"))]
    said = texts(notebook)
    assert not re.findall(r"(?<![\w.])/(?:home|root|work|tmp|usr|opt|Users)/\S*", said)
    assert "\x1b" not in said, "colours of a terminal"
    assert path.stat().st_size < 400_000
