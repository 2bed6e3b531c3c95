"""Which candidates are trained on after a rung: successive halving for several objectives.

Successive halving (Karnin et al., 2013; Jamieson and Talwalkar, 2016) trains all candidates a
little, the better ones on, and the best of these to the end. Better is what NSGA-II prefers: by
rank under constrained domination, then by crowding distance.

The score of a lower rung is a lower bound of what the candidate would reach with more training. So
candidates that were stopped are judged pessimistically beside those that were trained on, in the
population as well as on the front. That is what makes stopping safe for the latter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.controller.individual import violation
from falsr_nas.controller.settings import Constraints
from falsr_nas.objectives.objective import PAPER_OBJECTIVES, Objectives


def ranked(
    evaluations: Sequence[Evaluation],
    constraints: Constraints,
    objectives: Objectives = PAPER_OBJECTIVES,
) -> list[Evaluation]:
    """Return scored evaluations, the best first; the order in which they are given has no effect.

    They are sorted by violation of the constraints, by rank among those of equal violation, by
    descending crowding distance within the rank, and by key.
    """
    import moocore

    points = np.array([objectives.point(one) for one in evaluations])
    points = points.reshape(len(evaluations), len(objectives.chosen))
    violations = np.array([violation(one, constraints) for one in evaluations])
    places: list[tuple[float, int, float, str, int]] = []
    for level in np.unique(violations):
        rows = np.flatnonzero(violations == level)
        ranks = moocore.pareto_rank(points[rows])
        for rank in np.unique(ranks):
            front = rows[ranks == rank]
            for row, distance in zip(front, crowding_distances(points[front]), strict=True):
                places.append((level, int(rank), -distance, evaluations[row].key, int(row)))
    return [evaluations[row] for *_, row in sorted(places)]


def crowding_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the crowding distance of each point (N, objectives) of a front (Deb et al., 2002)."""
    distances = np.zeros(len(points))
    for values in points.T:
        order = np.argsort(values, kind="stable")
        span = values[order[-1]] - values[order[0]]
        distances[order[[0, -1]]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / span
    return distances


def survivors(
    evaluations: Sequence[Evaluation],
    count: int,
    constraints: Constraints,
    objectives: Objectives = PAPER_OBJECTIVES,
) -> list[Evaluation]:
    """Return the ``count`` best of scored evaluations, in the order in which they are given."""
    best = {one.key for one in ranked(evaluations, constraints, objectives)[:count]}
    return [one for one in evaluations if one.key in best]


def goes_on(
    evaluation: Evaluation,
    seen: Sequence[Evaluation],
    share: float,
    constraints: Constraints,
    objectives: Objectives = PAPER_OBJECTIVES,
) -> bool:
    """Return whether a candidate is among the best of those that the rung has seen so far.

    This is the stopping rule of asynchronous halving (ASHA; Li et al., 2020): no candidate waits
    for others, so early ones go on more easily than later ones.

    Args:
        evaluation: the candidate with its score at the rung.
        seen: all candidates with their scores at the rung, this one included.
        share: share of them that goes on, rounded up.
        constraints: limits on costs and PSNR.
        objectives: of the search.
    """
    best = ranked(seen, constraints, objectives)[: math.ceil(share * len(seen))]
    return any(one.key == evaluation.key for one in best)
