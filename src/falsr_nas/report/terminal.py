"""The Pareto front of a search as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.table import Table

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.cell import other_cells
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
    count = f"{len(shown)} of its {len(front)}" if len(shown) < len(front) else len(front)
    cells = other_cells(cell for evaluation in shown for cell in evaluation.candidate.genome.cells)
    kinds = [OPERATORS[name] for name in dict.fromkeys(cell.operator.kind for cell in cells)]
    others = "".join(f", {kind.label} {kind.name}" for kind in kinds if kind.label)
    table = Table(
        title=f"Pareto front, {count} networks",
        caption=LEGEND.format(others=others),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("key", no_wrap=True, style="dim")
    costs = (f"{cost.heading}\n{cost.unit}".strip() for cost in problem.shown)
    for column in ("PSNR\ndB", *costs, "links"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("cells", ratio=1)
    for evaluation in shown:
        table.add_row(*_texts(evaluation, problem), compact(evaluation.candidate.genome))
    return table


def compact(genome: Genome) -> str:
    """Abbreviate the cells of a genome, e.g. ``C64k3b4+ E2-16k1b1 x2``.

    Equal neighbouring cells are written once with their number. A stem or an upsampler that is not
    the paper's is added: ``S16 C16k3b1 x5 subpixel``, ``S32u2`` with an unshuffle by 2.
    """
    ends = genome.ends
    name = ends.stem_name.removeprefix("stem_f").replace("_", "")
    stem = [] if ends.stem_name == PAPER_ENDS.stem_name else [f"S{name}"]
    upsampler = [] if ends.upsampler == PAPER_ENDS.upsampler else [ends.upsampler]
    names = (
        f"{OPERATORS[cell.operator.kind].short_name(cell.operator.factor)}{cell.channels}"
        f"k{cell.kernel}b{cell.repeats}{'+' if cell.residual else ''}"
        for cell in genome.cells
    )
    runs = [(name, len(list(run))) for name, run in groupby(names)]
    cells = [name if count == 1 else f"{name} x{count}" for name, count in runs]
    return " ".join([*stem, *cells, *upsampler])


def _texts(evaluation: Evaluation, problem: Problem) -> Iterator[str]:
    """Yield the texts of a row, without the cells of its network."""
    candidate, score = evaluation.candidate, evaluation.score
    if score is None:
        raise ValueError(f"candidate {evaluation.key} failed: it cannot be on a front")
    yield candidate.key
    yield f"{score.psnr:.2f}"
    for cost in problem.shown:
        yield cost.text(cost.of(evaluation))
    yield str(sum(map(len, candidate.genome.links)))


def _evenly(front: Sequence[Evaluation], most: int) -> list[Evaluation]:
    if len(front) <= most:
        return list(front)
    return [front[round(i * (len(front) - 1) / (most - 1))] for i in range(most)]
