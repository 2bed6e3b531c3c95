"""History of a search: growth of the front, composition of the networks, results of the operators.

The functions refer to an evaluation by its row, which is its index in the list of all evaluations,
and keep the networks in arrays: the report is written repeatedly during searches of thousands of
candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation, Failure
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.cell import Cell
from falsr_nas.space.encoding import IntArray, Networks
from falsr_nas.space.ends import Ends

TRAITS: dict[str, Callable[[Cell], str | int]] = {
    "operator": lambda cell: cell.operator.name,
    "channels": lambda cell: cell.channels,
    "kernel": lambda cell: cell.kernel,
    "repeats": lambda cell: cell.repeats,
    "residual": lambda cell: "yes" if cell.residual else "no",
}
"""The choices that make up a cell (paper, section III-A)."""

END_TRAITS: dict[str, Callable[[Ends], str | int]] = {
    "stem": lambda ends: ends.stem_name.removeprefix("stem_f"),
    "upsampler": lambda ends: ends.upsampler,
}
"""The choices at the ends of a network."""

MOST_PERIODS = 160
"""Largest number of periods; longer searches have several generations per period."""


def trait_counts(networks: Networks, trait: str, rows: IntArray) -> dict[str | int, int]:
    """Count the cells, or ends, of the networks in ``rows`` (M,) by their value of a trait.

    A trait is a key of :data:`TRAITS` or of :data:`END_TRAITS`.
    """
    if trait in END_TRAITS:
        return dict(Counter(END_TRAITS[trait](networks.ends_table[i]) for i in networks.ends[rows]))
    of_cell = np.bincount(networks.cells[rows].ravel(), minlength=len(networks.cell_table))
    counts: Counter[str | int] = Counter()
    for cell, count in zip(networks.cell_table, of_cell, strict=True):
        if count and not cell.is_empty:
            counts[TRAITS[trait](cell)] += int(count)
    return dict(counts)


def link_counts(networks: Networks, rows: IntArray) -> IntArray:
    """Count the networks in ``rows`` that have each link; the result is (n(n+1)/2,)."""
    counts: IntArray = networks.links[rows].sum(axis=0)
    return counts


@dataclass(frozen=True, slots=True)
class Period:
    """A generation, or several consecutive ones in a search of many generations.

    Attributes:
        first: first generation.
        last: last generation, inclusive.
        made: rows of the evaluations in the period.
        front: rows of the front of all evaluations up to the end of the period.
        evaluations: number of evaluations up to the end of the period.
        hypervolume: of that front, in 0..1.
    """

    first: int
    last: int
    made: IntArray
    front: IntArray
    evaluations: int
    hypervolume: float


@dataclass(frozen=True, slots=True)
class Achievement:
    """Results of the candidates that one combination of operators produced.

    Attributes:
        operators: the controller's operators in order, e.g. ``("crossover", "random")``.
        made: number of candidates.
        failed: how many of them have no score.
        entered: how many entered the front: no earlier candidate was as good in all objectives.
        parents: how many survived the controller's selection and had children.
        front: how many are on the current front.
    """

    operators: tuple[str, ...]
    made: int
    failed: int
    entered: int
    parents: int
    front: int


def periods(evaluations: Sequence[Evaluation], problem: Problem) -> list[Period]:
    """Divide a search, given as all its evaluations, into at most :data:`MOST_PERIODS` periods.

    All periods have the same number of generations, except for the last, which may be shorter.
    """
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

    for first, group in zip(range(0, generations, length), made, strict=True):
        front = problem.front([*front, *group])
        total += len(group)
        last, volume = min(first + length, generations) - 1, problem.hypervolume(front)
        found.append(Period(first, last, rows(group), rows(front), total, volume))
    return found


def entered_front(evaluations: Sequence[Evaluation], problem: Problem) -> list[bool]:
    """Return for each evaluation whether it entered the front when it was evaluated.

    They are given in the order of evaluation. One enters if none before it was as good in all
    objectives.
    """
    front: NDArray[Any] = problem.matrix([])
    feasible = {id(evaluation) for evaluation in problem.feasible(evaluations)}
    entered = []
    for evaluation in evaluations:
        point = problem.matrix([evaluation] if id(evaluation) in feasible else [])
        enters = len(point) > 0 and not (front <= point).all(axis=1).any()
        if enters:
            front = np.vstack([front[~(front >= point).all(axis=1)], point])
        entered.append(enters)
    return entered


def achievements(evaluations: Sequence[Evaluation], problem: Problem) -> list[Achievement]:
    """Return the results of each combination of operators, most frequent first.

    The evaluations are given in their order.
    """
    parents = {
        parent for evaluation in evaluations for parent in evaluation.candidate.origin.parents
    }
    front = {evaluation.key for evaluation in problem.front(evaluations)}
    counts: dict[tuple[str, ...], Counter[str]] = {}
    entries = entered_front(evaluations, problem)
    for evaluation, entered in zip(evaluations, entries, strict=True):
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
    return sorted(found, key=lambda achieved: (-achieved.made, achieved.operators))
