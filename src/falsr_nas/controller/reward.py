"""What the policy is rewarded for; the paper names no reward.

Every reward compares a candidate with the front of all that was evaluated before it, in MSE, mult-adds and parameters, so that the policy
is drawn to where the front can still be moved. Failures, and scores below the least PSNR, get the worst reward that there is.

- ``hypervolume``: what the candidate adds to the volume that the front dominates. It is the very measure that searches are compared by,
  but it is zero for all that is dominated, however narrowly.
- ``attainment``: its PSNR above, or below, the best network that costs no more in mult-adds and in parameters, clipped. It tells near
  misses from bad ones. A network that nothing undercuts gets zero, so that being tiny earns nothing.
- ``rank``: 2 / (1 + d) - 1, with d the networks of the front that dominate it, plus the distance to its nearest neighbour on the front
  where d is zero: NSGA-II's own order, rank before crowding, without units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import moocore
import numpy as np

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.objectives import (
    REFERENCE,
    FloatArray,
    ObjectiveScale,
    objective_matrix,
    scored,
)
from falsr_nas.controller.settings import Constraints, RewardKind, RewardSettings


class Reward:
    """Rewards candidates against the front, which it keeps.

    Attributes:
        front: objectives (M, 3) of the networks that no other dominates, in lexicographic order, so that it depends on nothing but
            what was evaluated.
    """

    def __init__(
        self, settings: RewardSettings, scale: ObjectiveScale, constraints: Constraints
    ) -> None:
        self.scale = scale
        self.min_psnr = constraints.min_psnr
        self.front: FloatArray = np.empty((0, 3))
        self._compare, self._worst = self._rule(settings)

    def __call__(self, evaluations: Sequence[Evaluation]) -> FloatArray:
        """Rewards (N,) of evaluations against the front before them, which they then join."""
        able = scored(evaluations, self.min_psnr)
        points = objective_matrix(able)
        won = iter(self._compare(points) if len(self.front) else np.zeros(len(points)))
        keys = {evaluation.key for evaluation in able}
        rewards = [
            next(won) if evaluation.key in keys else self._worst for evaluation in evaluations
        ]
        self._join(points)
        return np.array(rewards, dtype=np.float64)

    def restore(self, told: Sequence[Evaluation]) -> None:
        """Continue after these evaluations."""
        self.front = np.empty((0, 3))
        self._join(objective_matrix(scored(told, self.min_psnr)))

    def _rule(self, settings: RewardSettings) -> tuple[Callable[[FloatArray], FloatArray], float]:
        """The comparison of points (N, 3) with the front, and the worst that it can say."""
        match settings.kind:
            case RewardKind.hypervolume:
                return lambda points: hypervolume_gain(
                    self.scale.unit(self.front), self.scale.unit(points)
                ), 0.0
            case RewardKind.attainment:
                return lambda points: np.clip(
                    attainment(self.front, points), -settings.clip, settings.clip
                ), -settings.clip
            case RewardKind.rank:
                return lambda points: rank_and_crowding(
                    self.scale.unit(self.front), self.scale.unit(points)
                ), -1.0

    def _join(self, points: FloatArray) -> None:
        together = np.unique(np.vstack([self.front, points]), axis=0)
        if len(together):
            self.front = together[moocore.is_nondominated(together)]


def hypervolume_gain(front: FloatArray, points: FloatArray) -> FloatArray:
    """What each of the points (N, 3) alone adds to the hypervolume of the front (M, 3), all in the unit cube: (N,), in 0..1."""
    before = moocore.hypervolume(front, ref=REFERENCE)
    gains = np.zeros(len(points))
    for i in np.flatnonzero(~dominators(front, points).any(axis=1)):
        gains[i] = moocore.hypervolume(np.vstack([front, points[i]]), ref=REFERENCE) - before
    return np.maximum(gains, 0.0)


def attainment(front: FloatArray, points: FloatArray) -> FloatArray:
    """PSNR of each of the points (N, 3) minus the best of the front (M, 3) that costs no more, in dB: (N,); 0 where nothing costs less.

    Objectives are MSE, mult-adds and parameters. The best network that costs no more is always on the front.
    """
    no_dearer = (front[None, :, 1:] <= points[:, None, 1:]).all(axis=2)
    best = np.where(no_dearer, front[None, :, 0], np.inf).min(axis=1)
    undercut = np.isfinite(best)
    return np.where(
        undercut, 10 * np.log10(np.where(undercut, best, points[:, 0]) / points[:, 0]), 0.0
    )


def rank_and_crowding(front: FloatArray, points: FloatArray) -> FloatArray:
    """2 / (1 + d) - 1 with d the members of the front (M, 3) that dominate each of the points (N, 3), in the unit cube: (N,), in -1..2.

    A point that none dominates earns, on top, its distance to the nearest member: the largest difference in any objective.
    """
    counts = dominators(front, points).sum(axis=1)
    room = np.abs(front[None] - points[:, None]).max(axis=2).min(axis=1)
    return np.asarray(2 / (1 + counts) - 1 + np.where(counts == 0, room, 0.0))


def dominators(front: FloatArray, points: FloatArray) -> np.ndarray:
    """Whether a member of the front (M, 3) is at least as good as a point (N, 3) in everything: (N, M)."""
    return np.asarray((front[None] <= points[:, None]).all(axis=2))
