"""The reward of the policy. The paper does not define it: it is our choice.

It compares a candidate with the Pareto front, in the objectives of the search, of all networks
evaluated before it, and therefore favours regions where the front can still be improved. It is the
number of networks of the front that dominate the candidate, as :func:`rank_and_crowding` scales it,
and where none do, its distance to them: NSGA-II's order, which has no units. Failed candidates and
those below the minimum PSNR get the lowest reward, -1.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.ranking import FloatArray, dominates

WORST = -1.0
"""Reward of failures."""


class Reward:
    """Computes the rewards of evaluations and keeps the front that they are compared with.

    Args:
        problem: maps objectives to the unit cube.

    Attributes:
        front: objectives (M, O) of the non-dominated networks in lexicographic order, so that they
            do not depend on the order of the evaluations.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.front: FloatArray = problem.matrix([])

    def __call__(self, evaluations: Sequence[Evaluation]) -> FloatArray:
        """Return the rewards (N,) of evaluations, then update the front with them.

        Where the front is empty, evaluations that meet the minimum PSNR get reward 0.
        """
        feasible = self.problem.feasible(evaluations)
        points = self.problem.matrix(feasible)
        values = self._compared(points)
        found = dict(zip((evaluation.key for evaluation in feasible), values, strict=True))
        self._join(points)
        return np.array([found.get(evaluation.key, WORST) for evaluation in evaluations])

    def restore(self, told: Sequence[Evaluation]) -> None:
        """Replace the front by that of these evaluations."""
        self.front = self.problem.matrix([])
        self._join(self.problem.matrix(self.problem.feasible(told)))

    def _compared(self, points: FloatArray) -> FloatArray:
        """Return the rewards (N,) of points (N, O)."""
        if not len(self.front):
            return np.zeros(len(points))
        return rank_and_crowding(self.problem.unit(self.front), self.problem.unit(points))

    def _join(self, points: FloatArray) -> None:
        together = np.unique(np.vstack([self.front, points]), axis=0)
        if len(together):
            self.front = together[moocore.is_nondominated(together)]


def rank_and_crowding(front: FloatArray, points: FloatArray) -> FloatArray:
    """Return 2 / (1 + d) - 1 of each point, (N,) in -1..2, with d the number of its dominators.

    Where d is zero, the Chebyshev distance to the nearest member of the front is added.

    Args:
        front: objectives (M, O) in the unit cube.
        points: objectives (N, O) in the unit cube.
    """
    counts = dominates(front, points).sum(axis=1)
    distance = np.abs(front[None] - points[:, None]).max(axis=2).min(axis=1)
    return np.asarray(2 / (1 + counts) - 1 + np.where(counts == 0, distance, 0.0))
