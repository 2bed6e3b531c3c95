from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.benchmark.peers import PEERS
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.report.figures import lower_left, write_figure
from falsr_nas.report.paper_figures import Scored, objectives_figure, peers_figure


def line(axes: Axes, label: str) -> set[tuple[float, float]]:
    (found,) = [drawn for drawn in axes.lines if drawn.get_label() == label]
    return {(float(x), float(y)) for x, y in zip(*found.get_data(), strict=True)}


def test_figure_5_sets_falsr_and_ours_among_the_peers(
    evaluations: list[Evaluation], problem: Problem
) -> None:
    ours = [Scored("ours-1", 40.0, 37.3)]
    figure = peers_figure("Set5", ours, {"demo": problem.front(evaluations)})
    (axes,) = figure.axes
    assert axes.get_ylabel() == "PSNR on Set5 (dB)"
    assert line(axes, "FALSR, published") == {(234.7, 37.82), (74.7, 37.61), (93.7, 37.66)}
    assert line(axes, "ours") == {(40.0, 37.3)}
    others = line(axes, "published")
    assert (222.8, 37.76) in others
    assert len(others) == len(PEERS) - 3
    assert {text.get_text() for text in axes.texts} >= {
        "FALSR-A",
        "FALSR-B",
        "FALSR-C",
        "ours-1",
        "SRCNN",
        "DRRN",
    }
    ticks = {x for x, _ in line(axes, "costs of the front of demo")}
    assert ticks == {e.candidate.cost.mult_adds / 1e9 for e in problem.front(evaluations)}


def test_figure_5_names_keep_clear_of_each_other() -> None:
    figure = peers_figure("Set14")
    extents = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(extents) > 8
    assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])


def test_figure_5_leaves_out_who_was_not_measured() -> None:
    (axes,) = peers_figure("Urban100").axes
    assert "SelNet" not in {text.get_text() for text in axes.texts}
    assert len(line(axes, "published")) == len(PEERS) - 4


def test_figure_6_pairs_the_objectives(evaluations: list[Evaluation], problem: Problem) -> None:
    figure = objectives_figure(evaluations, problem)
    panels = figure.axes[:3]
    known, best = problem.matrix(scored(evaluations)), problem.matrix(problem.front(evaluations))
    units = np.array([1.0, 1e9, 1e3])
    for axes, (x, y) in zip(panels, ((1, 0), (2, 0), (1, 2)), strict=True):
        (cloud,) = axes.collections
        assert np.asarray(cloud.get_offsets()) == pytest.approx((known / units)[:, [x, y]])
        assert cloud.get_array().tolist() == [e.candidate.generation for e in scored(evaluations)]
        assert line(axes, "front of all three") == {
            tuple(point) for point in (best / units)[:, [x, y]].tolist()
        }
        pair = line(axes, "front of these two")
        assert pair <= line(
            axes, "front of all three"
        )  # what two objectives cannot beat, three cannot either
        low = min(pair, key=lambda point: point[1])
        assert low[1] == (known / units)[:, y].min()


def test_lower_left_is_what_nothing_beats() -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 40):
        points = rng.integers(0, 8, (count, 2)).astype(float)
        expected = {
            (x, y)
            for x, y in points.tolist()
            if not any((a <= x and b <= y and (a, b) != (x, y)) for a, b in points.tolist())
        }
        found = lower_left(points)
        assert {tuple(point) for point in found.tolist()} == expected
        assert len(found) == len(expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [0, 1])
def test_both_are_drawn_whatever_there_is(
    tmp_path: Path, evaluations: list[Evaluation], problem: Problem, count: int
) -> None:
    some = evaluations[:count]
    for name, figure in (
        ("5", peers_figure("B100", (), {"demo": problem.front(some)})),
        ("6", objectives_figure(some, problem)),
    ):
        write_figure(tmp_path / f"{name}.png", figure)
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width > 1200
            assert (np.asarray(image.convert("L")) < 200).mean() > 0.002
