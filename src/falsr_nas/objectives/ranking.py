"""Non-dominated sorting and crowding distance of points, all of whose numbers are minimised."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def ranks(points: FloatArray, violations: FloatArray) -> IntArray:
    """Return the rank of each point under constrained domination (Deb et al., 2002): (N,) from 0.

    A point of smaller violation dominates every point of a larger one.

    Args:
        points: (N, M).
        violations: (N,), 0 where the constraints are met.
    """
    import moocore  # not at the top: --help does not need it

    found = np.zeros(len(points), dtype=np.int64)
    first = 0
    for violation in np.unique(violations):
        rows = np.flatnonzero(violations == violation)
        found[rows] = first + moocore.pareto_rank(points[rows])
        first = int(found[rows].max()) + 1
    return found


def crowding_distances(front: FloatArray) -> FloatArray:
    """Return the crowding distance of each point (N, M) of one front: (N,); DEAP's."""
    from deap import tools

    points = [SimpleNamespace(fitness=SimpleNamespace(values=tuple(row))) for row in front]
    tools.emo.assignCrowdingDist(points)
    return np.array([point.fitness.crowding_dist for point in points], dtype=np.float64)


def dominates(front: FloatArray, points: FloatArray) -> NDArray[np.bool_]:
    """Return (N, M): whether each row of the front (M, O) weakly dominates each point (N, O)."""
    return np.asarray((front[None] <= points[:, None]).all(axis=2))
