"""The Pareto front of a search as a figure, ``pareto.png``."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.benchmark.peers import shown_peers
from falsr_nas.core.files import write_atomically
from falsr_nas.objectives.objective import MULT_ADDS, PARAMS, Objective
from falsr_nas.objectives.problem import Problem, scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

# Colours of Okabe and Ito, which can be distinguished with any common colour blindness and in
# greyscale.
_FRONT, _PEER, _GRID = "#0072B2", "#D55E00", "#e6e8eb"
TEXT, QUIET = "#22262b", "#8a8f98"
"""Colours of text, and of candidates and notes."""


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG.

    Raises:
        UserError: the file cannot be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=180)
    write_atomically(path, content.getvalue())


def blank_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of a size in inches."""
    from falsr_nas.report.shown_figure import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained", facecolor="white")


def pareto_figure(evaluations: Sequence[Evaluation], problem: Problem) -> Figure:
    """Plot PSNR against each cost with the front; mult-adds and parameters where PSNR is all.

    The front is that of all objectives, so in one panel some of its networks are dominated
    by others; the line joins those that are best for their cost. Very bad candidates (beyond
    Tukey's outer fence) are outside of the panel, and their number is shown, so that they do not
    compress the rest. The costs of published networks are marked, but not their PSNR, which was
    measured on other images.
    """
    costs = problem.costs or (MULT_ADDS, PARAMS)
    figure = blank_figure(5 * len(costs), 4.5)
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    points = _points(scored(evaluations), costs)
    front = _points(problem.front(evaluations), costs)
    peers = shown_peers(problem.scale)
    peer_costs = {
        MULT_ADDS.name: {peer.name: peer.mult_adds_g for peer in peers},
        PARAMS.name: {peer.name: peer.params_k for peer in peers},
    }
    for i, (axes, cost) in enumerate(zip(panels, costs, strict=True)):
        if cost.logarithmic:
            axes.set_xscale("log")
        _draw_panel(axes, points[:, [i, -1]], front[:, [i, -1]], cost)
        axes.tick_params(left=i == 0)
        if cost.name in peer_costs:
            _mark_costs(axes, peer_costs[cost.name])
    panels[0].set_ylabel("PSNR on the validation images (dB)", color=TEXT)
    if not len(points):
        panels[-1].set_yticks([])
        say_nothing_scored(panels[-1])
    elif hidden := cut_outliers(panels[-1], points[:, -1], front[:, -1]):
        text = f"{hidden} more candidate{'s' if hidden > 1 else ''} below"
        note(panels[-1], text, (1, 0), (-4, 5), ha="right")
    legend = panels[0].legend(
        loc="lower right",
        fontsize=9,
        labelcolor=TEXT,
        handletextpad=0.4,
        edgecolor="none",
        framealpha=0.85,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
    return figure


def _points(evaluations: Sequence[Evaluation], costs: Sequence[Objective]) -> FloatArray:
    """Return an (N, C + 1) array of C costs as they are shown, and PSNR in dB."""
    rows = [
        (
            *(cost.of(evaluation) / cost.factor for cost in costs),
            evaluation.score.psnr,
        )
        for evaluation in evaluations
        if evaluation.score
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, len(costs) + 1)


def _draw_panel(axes: Axes, points: FloatArray, front: FloatArray, cost: Objective) -> None:
    """Plot candidates and front, each an (N, 2) array of cost and PSNR."""
    axes.plot(
        *points.T,
        "o",
        ms=3.2,
        mew=0,
        color=QUIET,
        alpha=max(0.12, 0.55 - len(points) / 10_000),
        zorder=2,
        label="candidates",
    )
    axes.plot(
        *_best_at_cost(front, cost.maximised).T,
        "-",
        drawstyle="steps-pre" if cost.maximised else "steps-post",
        lw=1.4,
        color=_FRONT,
        alpha=0.65,
        zorder=3,
    )
    axes.plot(
        *front.T, "o", ms=5.2, mew=0.8, mec="white", color=_FRONT, zorder=4, label="Pareto front"
    )
    axes.set_xlabel(cost.axis, color=TEXT)
    label_decades(axes)
    finish(axes)


def finish(axes: Axes) -> None:
    """Draw a grid and two axes, quietly."""
    axes.grid(color=_GRID, lw=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8bdc4")
    axes.tick_params(which="both", labelcolor=TEXT, color="#b8bdc4", labelsize=9)
    axes.tick_params(which="minor", length=0)


def say_nothing_scored(axes: Axes) -> None:
    """Write in the middle of an empty panel that no candidate has a score."""
    axes.annotate(
        "no candidate has a score",
        (0.5, 0.5),
        xycoords="axes fraction",
        ha="center",
        fontsize=9,
        color=QUIET,
    )


def note(
    axes: Axes, text: str, corner: tuple[int, int], offset: tuple[int, int], **alignment: Any
) -> None:
    """Write a quiet text in a corner of a panel, with an offset in points."""
    units = "axes fraction", "offset points"
    axes.annotate(text, corner, offset, *units, fontsize=8, color=QUIET, **alignment)


def cut_outliers(axes: Axes, values: FloatArray, front: FloatArray, *, above: bool = False) -> int:
    """Limit a y axis to Tukey's outer fence below or above, but show all of the front.

    Args:
        axes: the panel.
        values: (N,), N > 0, of all points.
        front: (M,), of those on the front.
        above: large values are bad, not small ones.

    Returns:
        The number of values outside.
    """
    lower, upper = np.percentile(values, [25, 75])
    fence = 3 * (upper - lower)
    low, high = values.min(), values.max()
    if above:
        high = max([min(high, upper + fence), *front])
    else:
        low = min([max(low, lower - fence), *front])
    margin = 0.05 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)
    return int(((values < low - margin) | (values > high + margin)).sum())


def label_decades(axes: Axes) -> None:
    """Label 1, 2 and 5 of every decade of logarithmic axes, without exponents."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())


def _best_at_cost(front: FloatArray, maximised: bool) -> FloatArray:
    """Return those rows of (N, 2) cost and PSNR that beat the PSNR of all cheaper ones.

    Cheaper ones have more of the cost where it is ``maximised``.
    """
    signs = np.array([-1 if maximised else 1, -1])
    return np.asarray(lower_left(front * signs) * signs)


def lower_left(points: FloatArray) -> FloatArray:
    """Return the nondominated ones of (N, 2) points, both coordinates minimized.

    They are ordered by ascending first coordinate; of equal points one is kept.
    """
    ascending = points[np.lexsort((points[:, 1], points[:, 0]))]
    before = [np.inf, *accumulate(ascending[:-1, 1], min)] if len(ascending) else []
    return ascending[ascending[:, 1] < before]


def _mark_costs(axes: Axes, costs: Mapping[str, float]) -> None:
    """Mark costs by ticks on the upper edge, with names that do not overlap.

    Costs outside of the panel are not marked.
    """
    low, high = np.log10(axes.get_xlim())
    places = sorted(((np.log10(cost) - low) / (high - low), name) for name, cost in costs.items())
    within = [(place, name) for place, name in places if 0 <= place <= 1]
    at = -1.0
    for place, name in within:
        at = max(place, at + 0.035)
        axes.annotate(
            name,
            (place, 1.02),
            (at, 1.05),
            "axes fraction",
            "axes fraction",
            arrowprops={"arrowstyle": "-", "color": _PEER, "lw": 0.6, "shrinkA": 0, "shrinkB": 0},
            rotation=40,
            rotation_mode="anchor",
            fontsize=7.5,
            color=_PEER,
            ha="left",
            va="bottom",
        )
    if within:
        axes.plot(
            [place for place, _ in within],
            [1.01] * len(within),
            "|",
            ms=6,
            mew=1.3,
            color=_PEER,
            transform=axes.transAxes,
            clip_on=False,
            label="cost of published networks",
        )
