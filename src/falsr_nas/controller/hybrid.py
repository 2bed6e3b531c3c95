"""The hybrid controller: NSGA-II with a reinforced mutation (paper, IV)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.controller.mutation import Mutations, with_policy
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.reinforcement import ReinforcedMutation
from falsr_nas.controller.reward import Reward
from falsr_nas.controller.settings import Constraints, HybridSettings
from falsr_nas.objectives.front import ObjectiveScale
from falsr_nas.objectives.objective import PAPER_OBJECTIVES, Objectives
from falsr_nas.space.search_space import SearchSpace


class Hybrid(NSGA2[HybridSettings]):
    """NSGA-II with one more mutation: with probability ``p_exploit``, the policy's is used."""

    def __init__(
        self,
        settings: HybridSettings,
        space: SearchSpace,
        constraints: Constraints,
        rng: np.random.Generator,
        objectives: Objectives = PAPER_OBJECTIVES,
    ) -> None:
        scale = ObjectiveScale.of_space(space, objectives=objectives)
        reward = Reward(settings.reward, scale, constraints)
        self.reinforced = ReinforcedMutation(settings.policy, reward, space, rng.spawn(1)[0])
        super().__init__(settings, space, constraints, rng, objectives)

    def all_mutations(self) -> Mutations:
        """Return the mutations by name: the exploring ones, and the policy's."""
        explore, share = super().all_mutations(), self.settings.p_exploit
        return with_policy(explore, share, self.reinforced.mutate)

    def ask(self, count: int) -> list[Candidate]:
        """Propose up to ``count`` new candidates; fewer only where no other is found."""
        candidates = super().ask(count)
        self.reinforced.asked(candidates)
        return candidates

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Train the policy, then update the population."""
        self.reinforced.learn(evaluations)
        super().learn(evaluations)

    def state(self) -> dict[str, Any]:
        """Return NSGA-II's state and the policy's, as JSON."""
        return super().state() | {"policy": self.reinforced.state()}

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        super().restore(state, told, pending)
        self.reinforced.restore(state["policy"], told)
