from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.benchmark.peers import PEERS, SHOWN_PEERS
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.objectives.settings import Constraints
from falsr_nas.report.figures import pareto_figure, write_figure
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.published import PUBLISHED

PROBLEM = Problem()


def points(axes: Axes, label: str) -> set[tuple[float, float]]:
    line = next(line for line in axes.lines if line.get_label() == label)
    return {(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)}


def texts(axes: Axes) -> set[str]:
    return {text.get_text() for text in axes.texts}


def panels(figure: Figure) -> tuple[Axes, Axes]:
    left, right = figure.axes
    return left, right


def test_panels_show_every_scored_candidate_and_the_front(evaluations: list[Evaluation]) -> None:
    left, right = panels(pareto_figure(evaluations, PROBLEM))
    assert left.get_xlabel() == "mult-adds at 1280\N{MULTIPLICATION SIGN}720 output (G)"
    assert right.get_xlabel() == "parameters (K)"
    assert left.get_ylabel() == "PSNR on the validation images (dB)"
    assert left.get_xscale() == right.get_xscale() == "log"
    for label, shown in (
        ("candidates", scored(evaluations)),
        ("Pareto front", PROBLEM.front(evaluations)),
    ):
        psnr = [e.score.psnr for e in shown if e.score is not None]
        assert points(left, label) == {
            (e.candidate.cost.mult_adds / 1e9, p) for e, p in zip(shown, psnr, strict=True)
        }
        assert points(right, label) == {
            (e.candidate.cost.params / 1e3, p) for e, p in zip(shown, psnr, strict=True)
        }


def test_the_line_climbs_with_the_cost(evaluations: list[Evaluation]) -> None:
    for axes in pareto_figure(evaluations, PROBLEM).axes:
        steps = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
        x, y = (np.asarray(values) for values in steps.get_data())
        assert len(x) > 3
        assert (np.diff(x) > 0).all()
        assert (np.diff(y) > 0).all()
        assert y[-1] == max(e.score.psnr for e in scored(evaluations) if e.score is not None)


def test_networks_below_the_least_psnr_are_candidates_only(evaluations: list[Evaluation]) -> None:
    strict = Problem(constraints=Constraints(min_psnr=26.0))
    left, _ = panels(pareto_figure(evaluations, strict))
    assert min(psnr for _, psnr in points(left, "Pareto front")) >= 26.0
    assert min(psnr for _, psnr in points(left, "candidates")) < 26.0


def test_published_networks_have_their_costs_marked(evaluations: list[Evaluation]) -> None:
    left, right = panels(pareto_figure(evaluations, PROBLEM))
    assert "FALSR-B" in texts(left) & texts(right)  # its cost, which holds for any images


def test_costs_out_of_reach_are_not_marked(evaluations: list[Evaluation]) -> None:
    small = [e for e in evaluations if e.candidate.cost.mult_adds < 50e9]
    left, _ = panels(pareto_figure(small, PROBLEM))
    assert not texts(left) & set(SHOWN_PEERS)


def test_far_outliers_are_counted_below_the_panel(evaluations: list[Evaluation]) -> None:
    outlier = next(
        e for e in evaluations if e.score is not None and e not in PROBLEM.front(evaluations)
    )
    assert outlier.score is not None
    broken = Evaluation(outlier.candidate, type(outlier.score)(mse=20_000.0, psnr=5.1, seconds=1.0))
    left, right = panels(pareto_figure([*evaluations, broken], PROBLEM))
    assert left.get_ylim()[0] > 20
    assert "1 more candidate below" in texts(right)
    assert not any(
        "below" in text for axes in pareto_figure(evaluations, PROBLEM).axes for text in texts(axes)
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_the_png_is_drawn_whatever_there_is(
    tmp_path: Path, evaluations: list[Evaluation], count: int
) -> None:
    write_figure(tmp_path / "pareto.png", pareto_figure(evaluations[:count], PROBLEM))
    with Image.open(tmp_path / "pareto.png") as image:
        assert image.size == (1800, 810)
        levels = np.asarray(image.convert("L"))
    assert levels[0, 0] == 255
    assert (levels < 200).mean() > 0.002


def test_no_global_state_of_pyplot_is_touched() -> None:
    code = "import sys; from falsr_nas.report import figures;"
    code += "from falsr_nas.objectives.problem import Problem;"
    code += "assert 'matplotlib' not in sys.modules;"
    code += (
        "figures.pareto_figure([], Problem()).canvas; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["FALSR-A", "FALSR-B"])
def test_published_costs_are_ours_to_the_rounding_of_the_paper(name: str) -> None:
    ours = genome_cost(PUBLISHED[name])
    assert PEERS[name].mult_adds_g == pytest.approx(ours.mult_adds / 1e9, rel=0.005)
    assert PEERS[name].params_k == pytest.approx(ours.params / 1e3, rel=0.005)
