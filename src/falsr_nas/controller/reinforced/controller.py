"""NSGA-II with a mutation that draws from a policy conditioned on the parent (our choice)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.controller.learnt import Guided
from falsr_nas.controller.reinforced.mutation import ConditionalMutation
from falsr_nas.controller.settings import ReinforcedSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.surrogate.gaussian_process import Surrogate


class Reinforced(Guided[ReinforcedSettings, ConditionalMutation]):
    """NSGA-II with one more mutation, the policy's, whose share begins at ``p_exploit``."""

    def __init__(
        self, settings: ReinforcedSettings, problem: Problem, rng: np.random.Generator
    ) -> None:
        self.reinforced = ConditionalMutation(
            settings.policy, problem, settings.population_size, rng.spawn(1)[0]
        )
        super().__init__(settings, problem, rng)

    def ask(self, count: int) -> list[Candidate]:
        """Propose up to ``count`` new candidates; fewer only where no other is found."""
        candidates = super().ask(count)
        self.reinforced.asked(candidates, self.admission.refuses)
        return candidates

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Update the population, then train the policy."""
        super().learn(evaluations)
        self.reinforced.learn(evaluations, self.population, self._surrogate, self.rng)

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        super().restore(state, told, pending)
        self.reinforced.look(self.population, self._surrogate)

    @property
    def _surrogate(self) -> Surrogate | None:
        """The surrogate, unless it predicts worse than costs alone."""
        screening = self.screening
        return screening.surrogate if screening is not None and screening.better else None
