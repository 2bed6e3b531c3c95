"""The result of a search, read again from its folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import falsr_nas
from falsr_nas.archive.store import Store
from falsr_nas.benchmark.image_quality import ProtocolScore
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import ModelScore, SetScore
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.execution.settings import InlineSettings
from falsr_nas.report.paper_figures import objectives_figure
from falsr_nas.search import SearchConfig, SearchResult, load_search, search
from falsr_nas.space.lookup import find_genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.train.network import TrainedModel
from falsr_nas.training.full_training import CurvePoint
from made_profile import made_profile

CONFIG = SearchConfig(
    evaluator=SyntheticSettings(),
    execution=InlineSettings(),
    controller=NSGA2Settings(population_size=8),
    candidates=40,
)
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(replace(CONFIG, run_dir=str(tmp_path_factory.mktemp("runs") / "mine")))


def test_a_search_is_loaded_as_it_was_returned(result: SearchResult) -> None:
    assert falsr_nas.load_search is load_search
    assert load_search(result.folder) == load_search(str(result.folder)) == result
    reported = json.loads((result.folder / "pareto.json").read_text())
    assert load_search(result.folder).hypervolume == reported["hypervolume"]


def test_another_range_of_psnr_is_that_of_the_report(tmp_path: Path) -> None:
    wide = search(replace(CONFIG, run_dir=str(tmp_path)))
    narrow = search(replace(CONFIG, run_dir=str(tmp_path), psnr_range=(26.0, 34.0)))
    loaded = load_search(tmp_path)
    assert loaded.hypervolume == narrow.hypervolume != wide.hypervolume
    assert loaded.history()[-1].hypervolume == pytest.approx(narrow.hypervolume, abs=1e-12)


def test_a_running_search_is_loaded_so_far(result: SearchResult) -> None:
    with Store(result.folder / "search.db"):  # open, as a search has it
        assert load_search(result.folder) == result


def test_what_is_no_search_is_refused(result: SearchResult, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        load_search(tmp_path / "none")
    with pytest.raises(UserError, match="holds no search"):
        load_search(tmp_path)
    with pytest.raises(UserError, match="holds a sweep"):
        load_search(result.folder.parent)


def test_a_table_of_pandas(result: SearchResult, monkeypatch: pytest.MonkeyPatch) -> None:
    table = result.to_pandas()
    assert list(table.index) == [one.candidate.number for one in result.evaluations]
    assert set(table[table.on_front].key) == {one.key for one in result.front}
    assert table.psnr.max() == max(one.score.psnr for one in result.evaluations if one.score)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'falsr-nas\[notebook\]'"):
        result.to_pandas()


def test_figures_are_images_in_a_notebook(result: SearchResult) -> None:
    for figure in (result.plot(), objectives_figure(result.evaluations, result.problem)):
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(PNG)


def test_a_search_is_shown_on_one_screen(result: SearchResult) -> None:
    lines = repr(result).splitlines()
    assert lines[0] == (
        f"SearchResult of {result.folder}: 40 candidates, 0 failures,"
        f" hypervolume {result.hypervolume:.4f}"
    )
    assert len(result.front) > 10, "more than are shown"
    assert sum(one.key in repr(result) for one in result.front) == 10
    assert len(lines) <= 40
    assert max(map(len, lines[1:])) <= 100
    for value in (result.front[0], result.problem, result.history()[0]):
        assert len(repr(value)) < 1500, "and so is what it holds"


def test_loading_needs_neither_torch_nor_matplotlib(result: SearchResult) -> None:
    code = (
        "import sys, falsr_nas\n"
        f"print(falsr_nas.load_search({str(result.folder)!r}).hypervolume)\n"
        "print({'torch', 'matplotlib', 'pandas', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(result.hypervolume), "set()"]


def test_results_of_other_commands_are_shown_in_a_few_lines() -> None:
    score = ProtocolScore(33.0, 0.9, ScoringProtocol.standard)
    images = {f"{number:03}.png": score for number in range(100)}
    scored = SetScore("B100", score, images)
    assert len(repr(ModelScore("m", 1, 2, ScoringProtocol.standard, False, (scored,)))) < 500
    curve = tuple(CurvePoint(step, 33.0, 1.0) for step in range(500))
    trained = TrainedModel("m", find_genome("FALSR-A"), Path("trained/m"), curve)
    assert len(repr(trained)) < 500
    assert len(repr(made_profile(SearchSpace()))) < 2000
