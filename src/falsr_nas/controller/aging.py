"""Regularised evolution (Real et al., 2019) for several objectives: a queue of networks, of which the oldest dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.admission import Admission
from falsr_nas.controller.initialization import InitialDesign
from falsr_nas.controller.mutation import exploration, pick
from falsr_nas.controller.nsga2 import Individual, assess
from falsr_nas.controller.settings import AgingSettings, Constraints
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace


class AgingEvolution:
    """The parent is the best of a sample of the queue; its mutated child joins the queue, and the oldest leaves.

    With several objectives, best is what NSGA-II's tournament prefers: the lowest rank in the queue by constrained domination, then the
    largest crowding distance (our choice; the original has one objective).
    """

    def __init__(
        self,
        settings: AgingSettings,
        space: SearchSpace,
        constraints: Constraints,
        rng: np.random.Generator,
    ) -> None:
        self.settings = settings
        self.constraints = constraints
        self.rng = rng
        self.admission = Admission(space, constraints.max_mult_adds, settings.population_size)
        self.initial = InitialDesign(settings.initial, space, rng)
        self.mutations = exploration(settings.exploration, space)
        self.queue: deque[Individual] = deque(maxlen=settings.population_size)

    def ask(self, count: int) -> list[Candidate]:
        """Up to ``count`` new candidates; fewer only when the space has no more."""
        return self.admission.admit(count, self._draw, self.rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Let the scored ones join the queue."""
        self.queue.extend(
            Individual(evaluation, self.constraints)
            for evaluation in evaluations
            if evaluation.score
        )
        assess(list(self.queue))

    def state(self) -> dict[str, Any]:
        """Queue, generator and what is left of the initial design, as JSON."""
        return {
            "queue": [individual.evaluation.key for individual in self.queue],
            "asked": self.admission.asked,
            "unused_cells": self.initial.unused,
            "rng": self.rng.bit_generator.state,
        }

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        by_key = {evaluation.key: evaluation for evaluation in told}
        self.queue.clear()
        self.tell([by_key[key] for key in state["queue"]])
        self.admission.restore(state["asked"], [*by_key, *(candidate.key for candidate in pending)])
        self.initial.unused = list(state["unused_cells"])
        self.rng.bit_generator.state = state["rng"]

    def _draw(self) -> tuple[Genome, Origin]:
        if self.admission.generation == 0 or not self.queue:
            return self.initial.draw(self.rng), Origin(("initial",))
        sample = [
            self.queue[int(i)]
            for i in self.rng.integers(len(self.queue), size=self.settings.sample)
        ]
        parent = min(sample, key=lambda one: (one.rank, -one.fitness.crowding_dist))
        name, mutate = pick(self.mutations, self.rng)
        return mutate(parent.genome, self.rng).genome, Origin((name,), (parent.evaluation.key,))
