"""The paper's figures 5 and 6, drawn from any search."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.benchmark.peers import PEERS_BY_SCALE
from falsr_nas.objectives.objective import MULT_ADDS, PARAMS
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.report.figures import (
    TEXT,
    blank_figure,
    cut_outliers,
    finish,
    label_decades,
    lower_left,
    note,
    say_nothing_scored,
)
from falsr_nas.space.ends import SCALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# The paper's colours: FALSR in salmon, other networks in light blue. Our models are darker.
_FALSR, _OTHERS, _OURS, _FRONT = "#fa8072", "#6cb2dc", "#b3261e", "#D55E00"
_LEGEND: dict[str, Any] = {"fontsize": 8.5, "labelcolor": TEXT, "edgecolor": "none"}
_GENERATIONS = ["#d5dbe2", "#7fb2d4", "#0d4f83"]
_BESIDE: tuple[tuple[tuple[int, int], Any, Any], ...] = (
    ((0, 8), "center", "bottom"),
    ((8, -3), "left", "bottom"),
    ((-8, -3), "right", "bottom"),
    ((0, -8), "center", "top"),
)  # where a name may be: offset in points, alignment
_NUMBERS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True, slots=True)
class Scored:
    """A model with its cost and its score on a benchmark set.

    Attributes:
        name: name of the model.
        mult_adds_g: mult-adds in billions at 1280x720 output.
        psnr: mean PSNR of the luma channel in dB.
        upscaling: its upscaling factor.
    """

    name: str
    mult_adds_g: float
    psnr: float
    upscaling: int = SCALE


def peers_figure(
    benchmark: str,
    models: Sequence[Scored] = (),
    fronts: Mapping[str, Sequence[Evaluation]] | None = None,
    upscaling: int = SCALE,
) -> Figure:
    """Plot the paper's Figure 5: PSNR on a benchmark set against mult-adds.

    It shows FALSR, other published networks, and our trained models. The PSNR values of a search
    are not comparable with them, because they come from its validation images and short trainings.
    Only the costs of its front are marked, by a row of ticks for each search.

    Args:
        benchmark: name of the benchmark set, e.g. ``Set5``.
        models: our models, with their scores on this benchmark set.
        fronts: Pareto fronts by the names of their searches.
        upscaling: factor of the models and the published networks.
    """
    figure = blank_figure(7.6, 5.2)
    axes = figure.subplots()
    peers = [peer for peer in PEERS_BY_SCALE[upscaling].values() if benchmark in peer.psnr]
    known = [Scored(peer.name, peer.mult_adds_g, peer.psnr[benchmark]) for peer in peers]
    falsr = [peer for peer in known if peer.name.startswith("FALSR")]
    others = [peer for peer in known if peer not in falsr]
    axes.set_xscale("log")
    for group, color, marker, label in (
        (others, _OTHERS, "o", "published"),
        (falsr, _FALSR, "o", "FALSR, published"),
        (models, _OURS, "D", "ours"),
    ):
        if group:
            places = np.transpose([(model.mult_adds_g, model.psnr) for model in group])
            axes.plot(
                *places,
                marker,
                ms=8,
                mew=0.8,
                mec="white",
                color=color,
                zorder=3,
                label=label,
            )
    finish(axes)
    label_decades(axes)
    axes.set_xlabel(MULT_ADDS.axis, color=TEXT)
    axes.set_ylabel(f"PSNR on {benchmark} (dB)", color=TEXT)
    axes.margins(0.09, 0.1)
    for row, (name, front) in enumerate((fronts or {}).items()):
        if front:
            axes.plot(
                [evaluation.candidate.cost.mult_adds / 1e9 for evaluation in front],
                [0.012 + 0.03 * row] * len(front),
                "|",
                ms=8,
                mew=1.0,
                color=_OURS,
                alpha=0.75,
                transform=axes.get_xaxis_transform(),
                label=f"costs of the front of {name}",
            )
    legend = axes.legend(loc="lower right", framealpha=0.9, **_LEGEND)
    _name(axes, legend, [*models, *falsr, *others])
    return figure


def objectives_figure(evaluations: Sequence[Evaluation], problem: Problem) -> Figure:
    """Plot the paper's Figure 6: all networks of a search, in a panel per two objectives.

    These are the MSE against each cost, then pairs of costs: three panels by default.

    Colours go from the first generation (pale) to the last (dark). The line is the front of the
    two objectives of the panel, dots are the front of all. Very bad MSE values (beyond
    Tukey's outer fence) are outside of the panel, and their number is shown. Mult-adds and
    parameters are shown where PSNR is all.
    """
    from matplotlib.colors import LinearSegmentedColormap

    if not problem.costs:
        problem = replace(problem, costs=(MULT_ADDS, PARAMS))
    costs = problem.costs
    units = np.array([1.0, *(cost.minimised(cost.factor) for cost in costs)])  # as they are shown
    labels = ("MSE on the validation images", *(cost.axis for cost in costs))
    scales = ("linear", *("log" if cost.logarithmic else "linear" for cost in costs))
    pairs = [(x, 0) for x in range(1, len(labels))]
    pairs += itertools.combinations(range(1, len(labels)), 2)
    figure = blank_figure(4 * len(pairs), 4.3)
    ramp = LinearSegmentedColormap.from_list("generations", _GENERATIONS)
    known = scored(evaluations)
    points = problem.matrix(known) / units
    best = problem.matrix(problem.front(evaluations)) / units
    generations = np.array([evaluation.candidate.generation for evaluation in known])
    feasible = problem.matrix(problem.feasible(evaluations))
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, (x, y) in zip(panels, pairs, strict=True):
        axes.set(xscale=scales[x], yscale=scales[y])
        axes.set_xlabel(labels[x], color=TEXT)
        axes.set_ylabel(labels[y], color=TEXT)
        finish(axes)
        if not len(points):
            say_nothing_scored(axes)
            continue
        cloud = axes.scatter(
            *points[:, [x, y]].T,
            s=7,
            c=generations,
            cmap=ramp,
            alpha=0.7,
            linewidths=0,
            zorder=2,
        )
        axes.plot(
            *best[:, [x, y]].T,
            "o",
            ms=3.6,
            mew=0.5,
            mec="white",
            color=_FRONT,
            zorder=4,
            label=f"front of all {_NUMBERS.get(len(labels), len(labels))}",
        )
        pair = lower_left(feasible[:, [x, y]]) / units[[x, y]]
        axes.plot(
            *pair.T,
            drawstyle="steps-post",
            lw=1.3,
            color=_FRONT,
            alpha=0.8,
            zorder=3,
            label="front of these two",
        )
        if y == 0 and (hidden := cut_outliers(axes, points[:, 0], best[:, 0], above=True)):
            note(axes, f"{hidden} more above", (0, 1), (5, -3), va="top")
        label_decades(axes)
    if len(points):
        figure.axes[0].legend(loc="upper right", framealpha=0.9, **_LEGEND)
        figure.colorbar(
            cloud, ax=figure.axes, label="generation", pad=0.01, aspect=30
        ).outline.set_visible(False)
    return figure


def _name(axes: Axes, legend: Legend, models: Sequence[Scored]) -> None:
    """Write each name in the first free place beside its point; omit it if there is none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None
    # The layout determines the positions of the points.
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    centres = axes.transData.transform([(model.mult_adds_g, model.psnr) for model in models])
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in centres]
    taken.append(legend.get_window_extent())
    for model in models:
        for offset, horizontal, vertical in _BESIDE:
            text = axes.annotate(
                model.name,
                (model.mult_adds_g, model.psnr),
                offset,
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=8.5,
                color=TEXT,
            )
            text.set_in_layout(False)
            extent = text.get_window_extent()
            if not any(extent.overlaps(other) for other in taken):
                taken.append(extent)
                break
            text.remove()
