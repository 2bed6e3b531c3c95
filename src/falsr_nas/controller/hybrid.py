"""The hybrid controller: NSGA-II with a reinforced mutation (paper, IV)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.controller.mutation import Mutations
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.reinforcement import ReinforcedMutation
from falsr_nas.controller.reward import Reward
from falsr_nas.controller.settings import HybridSettings
from falsr_nas.objectives.problem import WIDE_PSNR_RANGE, Problem


class Hybrid(NSGA2[HybridSettings]):
    """NSGA-II with one more mutation: with probability ``p_exploit``, the policy's is used."""

    def __init__(
        self, settings: HybridSettings, problem: Problem, rng: np.random.Generator
    ) -> None:
        # Rewards depend neither on the limit on mult-adds nor on the report's range of PSNR.
        limits = replace(problem.constraints, max_mult_adds=None)
        rewarded = replace(problem, constraints=limits, psnr_range=WIDE_PSNR_RANGE)
        reward = Reward(rewarded)
        self.reinforced = ReinforcedMutation(
            settings.policy, reward, problem.space, rng.spawn(1)[0]
        )
        super().__init__(settings, problem, rng)

    def ask(self, count: int) -> list[Candidate]:
        """Propose up to ``count`` new candidates; fewer only where no other is found."""
        candidates = super().ask(count)
        self.reinforced.taken(candidates)
        return candidates

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Train the policy, then update the population."""
        self.reinforced.learn(evaluations)
        super().learn(evaluations)

    def all_mutations(self) -> Mutations:
        """Return the mutations by name: the exploring ones, and the policy's."""
        share = self.settings.p_exploit
        others = {
            name: ((1 - share) * chance, mutate)
            for name, (chance, mutate) in super().all_mutations().items()
        }
        return others | {"policy": (share, self.reinforced.mutate)}

    def state(self) -> dict[str, Any]:
        """Return NSGA-II's state and the policy's, as JSON."""
        return super().state() | {"policy": self.reinforced.state()}

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        super().restore(state, told, pending)
        self.reinforced.restore(state["policy"], told)
