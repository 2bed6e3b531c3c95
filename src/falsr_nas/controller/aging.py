"""Regularised evolution (Real et al., 2019) for several objectives."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.individual import Individual, assess, individuals, tournament
from falsr_nas.controller.initialization import InitialDesign
from falsr_nas.controller.mutation import exploration, pick
from falsr_nas.controller.settings import AgingSettings, Constraints
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace


class AgingEvolution(BaseController[AgingSettings]):
    """Regularised evolution: tournament selection from a queue, and mutation.

    The parent is the best of a sample of the queue. Its child is appended and the oldest network is
    removed. With several objectives, the best is the one that NSGA-II's tournament prefers: the
    lowest rank in the queue by constrained domination, then the largest crowding distance (our
    choice; the original has one objective).
    """

    def __init__(
        self,
        settings: AgingSettings,
        space: SearchSpace,
        constraints: Constraints,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(settings, space, constraints, rng)
        self.initial = InitialDesign(settings.initial, space, rng)
        self.mutations = exploration(settings.exploration, space)
        self.queue: deque[Individual] = deque(maxlen=settings.population_size)

    def draw(self) -> tuple[Genome, Origin]:
        """Draw from the initial design in generation 0, otherwise mutate a parent."""
        if self.admission.generation == 0 or not self.queue:
            return self.initial.draw(self.rng), Origin(("initial",))
        parent = tournament(self.queue, self.rng, self.settings.sample)
        name, mutate = pick(self.mutations, self.rng)
        return mutate(parent.genome, self.rng).genome, Origin((name,), (parent.evaluation.key,))

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Append the scored evaluations to the queue."""
        self.queue.extend(individuals(evaluations, self.constraints))
        assess(list(self.queue))

    def parents(self) -> set[str]:
        """Return the keys of the queue."""
        return {individual.evaluation.key for individual in self.queue}

    def state(self) -> dict[str, Any]:
        """Return queue, generator and the unused part of the initial design, as JSON."""
        return {
            **super().state(),
            "queue": [individual.evaluation.key for individual in self.queue],
            "unused_cells": self.initial.unused,
        }

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        by_key = {evaluation.key: evaluation for evaluation in told}
        self.queue.clear()
        self.tell([by_key[key] for key in state["queue"]])
        self.initial.unused = list(state["unused_cells"])
        super().restore(state, told, pending)
