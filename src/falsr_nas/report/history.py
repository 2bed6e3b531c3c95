"""What happened in a search: how the front grew, what the networks were made of, what the controller's operators achieved.

Evaluations are spoken of by their row, their place in the list of all, and their networks lie in
arrays: this is read again and again while a search of thousands runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation, Failure
from falsr_nas.archive.objectives import (
    ObjectiveScale,
    hypervolume,
    objective_matrix,
    pareto_front,
    scored,
)
from falsr_nas.space.genome import Cell

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TRAITS: dict[str, Callable[[Cell], str | int]] = {
    "operator": lambda cell: cell.operator.name,
    "channels": lambda cell: cell.channels,
    "kernel": lambda cell: cell.kernel,
    "repeats": lambda cell: cell.repeats,
    "residual": lambda cell: "yes" if cell.residual else "no",
}
"""What a cell is made of (paper, III-A)."""

MOST_PERIODS = 160


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of one search, row by row.

    Attributes:
        table: the different cells.
        cells: (N, n), for each block its place in ``table``.
        places: (node, target) of every link there can be, in the order of the paper's index
            (III-B).
        links: (N, len(places)), whether a network has the link.
    """

    table: tuple[Cell, ...]
    cells: IntArray
    places: tuple[tuple[int, int], ...]
    links: BoolArray

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation]) -> Networks:
        """Those of these evaluations, all of equally many cells."""
        n = evaluations[0].candidate.genome.n if evaluations else 0
        places = tuple((node, target) for node in range(n) for target in range(node + 2, n + 2))
        place = {link: i for i, link in enumerate(places)}
        table: dict[Cell, int] = {}
        cells = np.zeros((len(evaluations), n), dtype=np.int64)
        links = np.zeros((len(evaluations), len(places)), dtype=np.bool_)
        for row, evaluation in enumerate(evaluations):
            genome = evaluation.candidate.genome
            cells[row] = [table.setdefault(cell, len(table)) for cell in genome.cells]
            links[
                row,
                [
                    place[node, target]
                    for target, nodes in enumerate(genome.links, start=2)
                    for node in nodes
                ],
            ] = True
        return cls(tuple(table), cells, places, links)

    def trait_counts(self, trait: str, rows: IntArray) -> dict[str | int, int]:
        """How many cells of these networks have each value of one of :data:`TRAITS`; values that no network has are not there."""
        of_cell = np.bincount(self.cells[rows].ravel(), minlength=len(self.table))
        counts: Counter[str | int] = Counter()
        for cell, count in zip(self.table, of_cell, strict=True):
            if count:
                counts[TRAITS[trait](cell)] += int(count)
        return dict(counts)

    def link_counts(self, rows: IntArray) -> IntArray:
        """(len(places),): how many of these networks have each link."""
        counts: IntArray = self.links[rows].sum(axis=0)
        return counts


@dataclass(frozen=True, slots=True)
class Period:
    """A generation; in a search of very many, some that follow each other.

    Attributes:
        first: generation.
        last: generation, ``first`` or later.
        made: rows of its evaluations.
        front: rows of the front of all evaluations up to its end.
        evaluations: how many there are up to its end.
        hypervolume: of the front, in 0..1.
    """

    first: int
    last: int
    made: IntArray
    front: IntArray
    evaluations: int
    hypervolume: float


@dataclass(frozen=True, slots=True)
class Achievement:
    """What became of the candidates that the same operators made.

    Attributes:
        operators: of the controller, in order, e.g. ``("crossover", "random")``.
        made: candidates.
        failed: of them, without a score.
        entered: of them, those that no earlier candidate dominated when they came.
        parents: of them, those that the controller went on to make children from: they survived
            its selection.
        front: of them, on the front now.
    """

    operators: tuple[str, ...]
    made: int
    failed: int
    entered: int
    parents: int
    front: int


def periods(
    evaluations: Sequence[Evaluation], scale: ObjectiveScale, min_psnr: float | None = None
) -> list[Period]:
    """A search in at most MOST_PERIODS periods of equally many generations; the last may be shorter."""
    if not evaluations:
        return []
    row_of = {id(evaluation): row for row, evaluation in enumerate(evaluations)}
    generations = max(evaluation.candidate.generation for evaluation in evaluations) + 1
    length = -(-generations // MOST_PERIODS)
    made: list[list[Evaluation]] = [[] for _ in range(0, generations, length)]
    for evaluation in evaluations:
        made[evaluation.candidate.generation // length].append(evaluation)
    found: list[Period] = []
    front: list[Evaluation] = []
    total = 0

    def rows(group: Sequence[Evaluation]) -> IntArray:
        return np.array([row_of[id(evaluation)] for evaluation in group], dtype=np.int64)

    for index, group in enumerate(made):
        front = pareto_front([*front, *group], min_psnr)
        total += len(group)
        first, last = index * length, min((index + 1) * length, generations) - 1
        found.append(
            Period(first, last, rows(group), rows(front), total, hypervolume(front, scale))
        )
    return found


def entered_front(evaluations: Sequence[Evaluation], min_psnr: float | None = None) -> list[bool]:
    """For each evaluation, in their order, whether none before it was as good in all three objectives."""
    front: NDArray[Any] = np.empty((0, 3))
    able = {id(evaluation) for evaluation in scored(evaluations, min_psnr)}
    entered = []
    for evaluation in evaluations:
        enters = False
        if id(evaluation) in able:
            point = objective_matrix([evaluation])
            enters = not (front <= point).all(axis=1).any()
            if enters:
                front = np.vstack([front[~(front >= point).all(axis=1)], point])
        entered.append(enters)
    return entered


def achievements(
    evaluations: Sequence[Evaluation], min_psnr: float | None = None
) -> list[Achievement]:
    """What the controller's operators achieved, each combination of them on its own; those that made most come first."""
    parents = {
        parent for evaluation in evaluations for parent in evaluation.candidate.origin.parents
    }
    front = {evaluation.key for evaluation in pareto_front(evaluations, min_psnr)}
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for evaluation, entered in zip(evaluations, entered_front(evaluations, min_psnr), strict=True):
        count = counts.setdefault(evaluation.candidate.origin.operators, Counter())
        count["made"] += 1
        count["failed"] += isinstance(evaluation.outcome, Failure)
        count["entered"] += entered
        count["parents"] += evaluation.key in parents
        count["front"] += evaluation.key in front
    names = [field.name for field in fields(Achievement)[1:]]
    found = [
        Achievement(operators, *(count[name] for name in names))
        for operators, count in counts.items()
    ]
    return sorted(found, key=lambda one: (-one.made, one.operators))
