"""Regularised evolution (Real et al., 2019) for several objectives."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.individual import Individual, assess, tournament
from falsr_nas.controller.initialization import InitialDesign
from falsr_nas.controller.mutation import exploration
from falsr_nas.controller.operator_shares import OperatorShares
from falsr_nas.controller.settings import AgingSettings, Constraints
from falsr_nas.objectives.objective import PAPER_OBJECTIVES, Objectives
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace


class AgingEvolution(BaseController[AgingSettings]):
    """Regularised evolution: tournament selection from a queue, and mutation.

    The parent is the best of a sample of the queue. Its child is appended and the oldest network is
    removed. The queue holds several generations, so that a generation of children does not replace
    all of it at once. With several objectives, the best is the one that NSGA-II's tournament
    prefers: the lowest rank in the queue by constrained domination, then the largest crowding
    distance (our choice; the original has one objective).
    """

    def __init__(
        self,
        settings: AgingSettings,
        space: SearchSpace,
        constraints: Constraints,
        rng: np.random.Generator,
        objectives: Objectives = PAPER_OBJECTIVES,
    ) -> None:
        super().__init__(settings, space, constraints, rng, objectives)
        self.initial = InitialDesign(settings.initial, space, rng)
        self.mutations = OperatorShares(exploration(settings.exploration, space), adaptive=False)
        length = settings.population_size * settings.generations
        self.queue: deque[Individual] = deque(maxlen=length)

    def draw(self) -> tuple[Genome, Origin]:
        """Draw from the initial design in generation 0, otherwise mutate a parent."""
        if self.admission.generation == 0 or not self.queue:
            return self.initial.draw(self.rng), Origin(("initial",))
        parent = tournament(self.queue, self.rng, self.settings.sample)
        name, mutate = self.mutations.pick(self.rng)
        return mutate(parent.genome, self.rng).genome, Origin((name,), (parent.evaluation.key,))

    def vary(self, genome: Genome, origin: Origin) -> tuple[Genome, Origin]:
        """Mutate a promising network once more."""
        name, mutate = self.mutations.pick(self.rng)
        mutant = mutate(genome, self.rng)
        return mutant.genome, Origin((*origin.operators, name), origin.parents, mutant.log_prob)

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Append the scored evaluations to the queue."""
        members = [*(one.evaluation for one in self.queue), *evaluations]
        self.queue.clear()
        self.queue.extend(self.individuals(members))
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
        super().restore(state, told, pending)
        by_key = {evaluation.key: evaluation for evaluation in told}
        self.queue.clear()
        self.learn([by_key[key] for key in state["queue"]])
        self.initial.unused = list(state["unused_cells"])
