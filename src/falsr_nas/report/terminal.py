"""The Pareto front of a search as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.table import Table

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.cell import Cell, other_cells
from falsr_nas.space.ends import PAPER_ENDS
from falsr_nas.space.genome import Genome
from falsr_nas.space.operators import OPERATORS

LEGEND = (
    "cells: C conv, G2/G4 grouped, E2 inverted bottleneck{others};"
    " channels, k kernel, b repeats, + residual; S stem and last the upsampler, unless the paper's"
)


def front_table(front: Sequence[Evaluation], problem: Problem, most: int = 20) -> Table:
    """Return a table of a front, in its order.

    Args:
        front: scored evaluations.
        problem: of the search; all costs that it shows have a column.
        most: largest number of rows, 2 or more. A longer front is thinned evenly; its first and
            last networks are kept.

    Raises:
        ValueError: an evaluation has no score.
    """
    shown = _evenly(front, most)
    extra = _extra_columns(front)
    count = (
        f"{len(shown)} of its {len(front)} networks"
        if len(shown) < len(front)
        else f"{len(front)} networks"
    )
    table = Table(
        title=f"Pareto front, {count}",
        caption=LEGEND.format(others=_others(shown)),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("key", no_wrap=True, style="dim")
    costs = (f"{cost.heading}\n{cost.unit}".strip() for cost in problem.shown)
    for column in ("PSNR\ndB", *costs, "links", *extra):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("cells", ratio=1)
    for evaluation in shown:
        *numbers, cells = _cells_of_row(evaluation, problem)
        table.add_row(*numbers, *(_extra(evaluation, name) for name in extra), cells)
    return table


def psnr_text(score: Score, digits: int = 2) -> str:
    """Return the PSNR in dB, with its standard deviation if it is the mean of several trainings."""
    deviation = "" if score.deviation is None else f" \u00b1 {score.deviation:.{digits}f}"
    return f"{score.psnr:.{digits}f}{deviation}"


def _extra_columns(front: Sequence[Evaluation]) -> list[str]:
    """Return the columns that only some searches need: rungs, and steps that differ."""
    rungs = len({one.rung for one in front}) > 1
    steps = len({one.score.steps for one in front if one.score}) > 1
    return ["rung"] * rungs + ["steps"] * steps


def _extra(evaluation: Evaluation, column: str) -> str:
    if column == "rung":
        return str(evaluation.rung)
    steps = evaluation.score.steps if evaluation.score else None
    return "" if steps is None else f"{steps:,}"


def compact(genome: Genome) -> str:
    """Abbreviate the cells of a genome, e.g. ``C64k3b4+ E2-16k1b1 x2``.

    Equal neighbouring cells are written once with their number. A stem or an upsampler that is not
    the paper's is added: ``S16 C16k3b1 x5 subpixel``.
    """
    ends = genome.ends
    stem = [] if ends.stem == PAPER_ENDS.stem else [f"S{ends.stem}"]
    upsampler = [] if ends.upsampler == PAPER_ENDS.upsampler else [ends.upsampler]
    runs = [
        (name, len(list(run)))
        for name, run in groupby(_compact_cell(cell) for cell in genome.cells)
    ]
    cells = [name if count == 1 else f"{name} x{count}" for name, count in runs]
    return " ".join([*stem, *cells, *upsampler])


def _others(front: Sequence[Evaluation]) -> str:
    """Explain the short names of operators that are not the paper's."""
    cells = other_cells(cell for one in front for cell in one.candidate.genome.cells)
    kinds = [OPERATORS[name] for name in dict.fromkeys(cell.operator.kind for cell in cells)]
    return "".join(f", {kind.label} {kind.name}" for kind in kinds if kind.label)


def _compact_cell(cell: Cell) -> str:
    operator = OPERATORS[cell.operator.kind].short_name(cell.operator.factor)
    return f"{operator}{cell.channels}k{cell.kernel}b{cell.repeats}{'+' if cell.residual else ''}"


def _cells_of_row(evaluation: Evaluation, problem: Problem) -> tuple[str, ...]:
    candidate, outcome = evaluation.candidate, evaluation.outcome
    if not isinstance(outcome, Score):
        raise ValueError(f"candidate {evaluation.key} failed: it cannot be on a front")
    links = sum(map(len, candidate.genome.links))
    return (
        candidate.key,
        psnr_text(outcome),
        *(cost.text(cost.measure(candidate.genome, candidate.cost)) for cost in problem.shown),
        str(links),
        compact(candidate.genome),
    )


def _evenly(front: Sequence[Evaluation], most: int) -> list[Evaluation]:
    if len(front) <= most:
        return list(front)
    return [front[round(i * (len(front) - 1) / (most - 1))] for i in range(most)]
