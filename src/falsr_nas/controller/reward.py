"""Rewards of the policy. The paper does not define its reward: all three are our choice.

Each reward compares a candidate with the Pareto front, in the objectives of the search, of all
networks evaluated before it. It therefore favours regions where the front can still be improved.
Failed candidates and those below the minimum PSNR get the lowest reward: 0, -clip or -1. How the
three differ is told at :class:`~falsr_nas.controller.settings.RewardKind`.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.controller.settings import RewardKind, RewardSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.ranking import FloatArray, dominates


class Reward:
    """Computes the rewards of evaluations and keeps the front that they are compared with.

    Args:
        settings: which reward.
        problem: maps objectives to the unit cube.

    Attributes:
        front: objectives (M, O) of the non-dominated networks in lexicographic order, so that they
            do not depend on the order of the evaluations.
    """

    def __init__(self, settings: RewardSettings, problem: Problem) -> None:
        self.problem = problem
        self.front: FloatArray = problem.matrix([])
        self._kind = settings.kind
        self._clip = settings.clip

    def __call__(self, evaluations: Sequence[Evaluation]) -> FloatArray:
        """Return the rewards (N,) of evaluations, then update the front with them.

        Where the front is empty, evaluations that meet the minimum PSNR get reward 0.
        """
        feasible = self.problem.feasible(evaluations)
        points = self.problem.matrix(feasible)
        values, worst = self._compared(points)
        found = dict(zip((evaluation.key for evaluation in feasible), values, strict=True))
        self._join(points)
        return np.array([found.get(evaluation.key, worst) for evaluation in evaluations])

    def restore(self, told: Sequence[Evaluation]) -> None:
        """Replace the front by that of these evaluations."""
        self.front = self.problem.matrix([])
        self._join(self.problem.matrix(self.problem.feasible(told)))

    def _compared(self, points: FloatArray) -> tuple[FloatArray, float]:
        """Return the rewards (N,) of points (N, O), and the reward of failures."""
        worst = {RewardKind.attainment: -self._clip, RewardKind.rank: -1.0}.get(self._kind, 0.0)
        if not len(self.front):
            return np.zeros(len(points)), worst
        if self._kind is RewardKind.attainment:
            return np.clip(attainment(self.front, points), -self._clip, self._clip), worst
        gain = hypervolume_gain if self._kind is RewardKind.hypervolume else rank_and_crowding
        return gain(self.problem.unit(self.front), self.problem.unit(points)), worst

    def _join(self, points: FloatArray) -> None:
        together = np.unique(np.vstack([self.front, points]), axis=0)
        if len(together):
            self.front = together[moocore.is_nondominated(together)]


def hypervolume_gain(front: FloatArray, points: FloatArray) -> FloatArray:
    """Return the hypervolume (N,), in 0..1, that each point alone adds to the front.

    Args:
        front: objectives (M, O) in the unit cube.
        points: objectives (N, O) in the unit cube.
    """
    reference = (1.0,) * front.shape[1]
    before = moocore.hypervolume(front, ref=reference)
    gains = np.zeros(len(points))
    for i in np.flatnonzero(~dominates(front, points).any(axis=1)):
        gains[i] = moocore.hypervolume(np.vstack([front, points[i]]), ref=reference) - before
    return np.maximum(gains, 0.0)


def attainment(front: FloatArray, points: FloatArray) -> FloatArray:
    """Return the PSNR (N,) in dB of each point minus that of the best rival.

    It is 0 where there is none, so that small size alone is not rewarded.
    Rivals are the networks that are no worse in any other objective, mult-adds and parameters by
    default. The best of all evaluated rivals is always on the front.

    Args:
        front: MSE and the other objectives (M, O).
        points: MSE and the other objectives (N, O).
    """
    rivals = (front[None, :, 1:] <= points[:, None, 1:]).all(axis=2)
    best = np.where(rivals, front[None, :, 0], np.inf).min(axis=1)
    has_rival = np.isfinite(best)
    return np.where(
        has_rival, 10 * np.log10(np.where(has_rival, best, points[:, 0]) / points[:, 0]), 0.0
    )


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
