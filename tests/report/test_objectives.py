"""Reports of a search with other objectives than the paper's: files, tables, figures, the page."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from browser import find_browser, open_page
from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.objective import LATENCY
from falsr_nas.objectives.problem import Problem
from falsr_nas.report.figures import pareto_figure
from falsr_nas.report.history import achievements, entered_front, periods
from falsr_nas.report.page import write_page
from falsr_nas.report.page_data import page_data
from falsr_nas.report.paper_figures import objectives_figure
from falsr_nas.report.pareto import COLUMNS, write_pareto_csv, write_pareto_json
from falsr_nas.report.run import Run
from falsr_nas.report.terminal import front_table
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.tracking.weights_and_biases import _tables
from made_problem import LINKS
from made_profile import made_profile

PROFILE = made_profile(SearchSpace())
TIMED = Problem(costs=(LATENCY,), psnr_range=(20.0, 40.0), profile=PROFILE)
LINKED = replace(TIMED, costs=(*TIMED.costs, LINKS))
QUALITY = Problem(costs=())


@pytest.fixture
def run(family: Run) -> Run:
    return replace(family, problem=LINKED)


def test_files_have_the_objectives(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    front = LINKED.front(evaluations)
    write_pareto_csv(tmp_path / "pareto.csv", evaluations, LINKED)
    with (tmp_path / "pareto.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*COLUMNS, "latency", "links"]
    for row, one in zip(rows, front, strict=True):
        assert float(row["latency"]) == PROFILE.latency(one.candidate.genome)
        assert int(row["links"]) == sum(map(len, one.candidate.genome.links))
    write_pareto_json(tmp_path / "pareto.json", evaluations, LINKED)
    content = json.loads((tmp_path / "pareto.json").read_text())
    assert list(content["reference"]) == ["psnr", "latency", "links"]
    assert content["ideal"]["links"] > content["reference"]["links"]
    assert [one["links"] for one in content["front"]] == [int(row["links"]) for row in rows]
    assert content["hypervolume"] == pytest.approx(LINKED.hypervolume(evaluations))


def test_the_table_shows_the_chosen_costs_first(evaluations: list[Evaluation]) -> None:
    front = LINKED.front(evaluations)
    text = io.StringIO()
    Console(file=text, width=160).print(front_table(front, LINKED))
    lines = text.getvalue().splitlines()
    at = next(row for row, line in enumerate(lines) if " PSNR " in line)
    assert lines[at].split() == ["PSNR", "latency", "mult-adds", "params"]
    assert lines[at + 1].split() == ["key", "dB", "ms", "links", "G", "K", "links", "cells"]
    first = front[0].candidate
    assert f"{PROFILE.latency(first.genome):.1f}" in text.getvalue()
    assert f"{first.cost.mult_adds / 1e9:.1f}" in text.getvalue()


@pytest.mark.parametrize(
    ("problem", "panels"), [(TIMED, (1, 1)), (LINKED, (2, 3)), (QUALITY, (2, 3))]
)
def test_figures_have_a_panel_for_each_cost_and_pair(
    evaluations: list[Evaluation], problem: Problem, panels: tuple[int, int]
) -> None:
    figure = pareto_figure(evaluations, problem)
    assert len(figure.axes) == panels[0]
    pairs = objectives_figure(evaluations, problem)
    assert len([axes for axes in pairs.axes if axes.get_xlabel()]) == panels[1]
    for drawn in (figure, pairs):
        drawn.canvas.draw()  # type: ignore[attr-defined]
    if problem.costs:
        label = "latency at 1280\N{MULTIPLICATION SIGN}720 output (ms)"
        assert figure.axes[0].get_xlabel() == label
    if problem is LINKED:
        assert figure.axes[1].get_xscale() == "linear"


def test_history_follows_the_objectives(run: Run) -> None:
    found = periods(run.evaluations, run.problem)
    front = LINKED.front(run.evaluations)
    assert {run.evaluations[row].key for row in found[-1].front} == {one.key for one in front}
    entered = entered_front(run.evaluations, LINKED)
    assert {one.key for one in front} <= {
        one.key for one, enters in zip(run.evaluations, entered, strict=True) if enters
    }
    counts = achievements(run.evaluations, LINKED)
    assert sum(one.front for one in counts) == len(front)


def test_wandb_gets_a_column_and_a_plot_for_each_cost(evaluations: list[Evaluation]) -> None:
    pytest.importorskip("wandb")
    front = TIMED.front(evaluations)
    logged = dict(_tables(evaluations, TIMED))
    assert logged["front"].columns[-1] == "latency"
    assert [row[-1] for row in logged["front"].data] == [
        PROFILE.latency(one.candidate.genome) for one in front
    ]
    assert {name for name in logged if name.startswith("front_")} == {
        "front_latency",
        "front_mult_adds",
        "front_params",
    }


def test_the_page_shows_what_all_searches_have(run: Run, family: Run) -> None:
    names = [one["name"] for one in page_data([run])["costs"]]
    assert names == ["latency", "links", "mult_adds", "params"]
    assert [one["name"] for one in page_data([run, family])["costs"]] == ["mult_adds", "params"]


def test_the_page_draws_the_objectives(tmp_path: Path, run: Run) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("no browser on PATH")
    front = LINKED.front(run.evaluations)
    write_page(tmp_path / "report.html", [run])
    with open_page(browser, tmp_path / "profile") as tab:
        tab.size(1400, 900)
        tab.open((tmp_path / "report.html").as_uri())
        assert tab.errors == []
        text = tab.evaluate("document.body.innerText")
        assert "front of PSNR, latency and links" in text
        assert "ms latency" in text
        keys = "[...document.querySelectorAll('#front-table tbody tr')].map((r) => r.dataset.key)"
        assert tab.evaluate(keys) == [one.key for one in front], "by ascending latency"
        buttons = "[...document.querySelectorAll('#front .choice button')].map((b) => b.innerText)"
        assert tab.evaluate(buttons) == ["latency", "links", "mult-adds", "params"]
        for number, label in ((1, "latency at"), (2, "number of links"), (4, "parameters")):
            tab.click(f"#front .choice button:nth-child({number})")
            chart = tab.evaluate("document.querySelector('#front .chart').textContent")
            assert label in chart
            assert tab.evaluate("document.querySelectorAll('circle.front').length") == len(front)
        assert tab.errors == []
