"""Regularised evolution for several objectives: ``aging``, a baseline to compare controllers with.

Of Real et al., "Regularized Evolution for Image Classifier Architecture Search" (2019): the oldest
network is removed, not the worst.

    python -m falsr_nas.search plugins=[plugins/aging.py] controller=aging
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.individual import Individual, assess, tournament
from falsr_nas.controller.initialization import InitialDesign
from falsr_nas.controller.mutation import exploration, pick_mutation
from falsr_nas.controller.settings import (
    CONTROLLERS,
    ControllerSettings,
    ExplorationSettings,
    InitialSettings,
)
from falsr_nas.core.settings import at_least
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.genome import Genome


class AgingEvolution(BaseController["AgingSettings"]):
    """Regularised evolution: tournament selection from a queue, and mutation.

    The parent is the best of a sample of the queue. Its child is appended and the oldest network is
    removed. The queue holds several generations, so that a generation of children does not replace
    all of it at once. With several objectives, the best is the one that NSGA-II's tournament
    prefers: the lowest rank in the queue by constrained domination, then the largest crowding
    distance (our choice; the original has one objective).
    """

    def __init__(self, settings: AgingSettings, problem: Problem, rng: np.random.Generator) -> None:
        super().__init__(settings, problem, rng)
        self.initial = InitialDesign(settings.initial, problem.space, rng)
        self.mutations = exploration(settings.exploration, problem.space)
        length = settings.population_size * settings.generations
        self.queue: deque[Individual] = deque(maxlen=length)

    def draw(self) -> tuple[Genome, Origin]:
        """Draw from the initial design in generation 0, otherwise mutate a parent."""
        if self.admission.generation == 0 or not self.queue:
            return self.initial.draw(self.rng), Origin(("initial",))
        parent = tournament(self.queue, self.rng, self.settings.sample)
        name, mutate = pick_mutation(self.mutations, self.rng)
        return mutate(parent.genome, self.rng).genome, Origin((name,), (parent.evaluation.key,))

    def vary(self, genome: Genome, origin: Origin) -> tuple[Genome, Origin]:
        """Mutate a promising network once more."""
        name, mutate = pick_mutation(self.mutations, self.rng)
        mutant = mutate(genome, self.rng)
        return mutant.genome, Origin((*origin.operators, name), origin.parents, mutant.log_prob)

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Append the scored evaluations to the queue."""
        members = [*(one.evaluation for one in self.queue), *evaluations]
        self.queue.clear()
        self.queue.extend(self.individuals(members))
        assess(list(self.queue))

    def state(self) -> dict[str, Any]:
        """Return queue, generator and the unused part of the initial design, as JSON."""
        return {
            **super().state(),
            "queue": [individual.evaluation.key for individual in self.queue],
            **self.initial.state(),
        }

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        super().restore(state, told, pending)
        by_key = {evaluation.key: evaluation for evaluation in told}
        self.queue.clear()
        self.learn([by_key[key] for key in state["queue"]])
        self.initial.restore(state)


@CONTROLLERS.register("aging", AgingEvolution)
@dataclass(frozen=True)
class AgingSettings(ControllerSettings):
    """Settings of ``controller=aging``.

    Attributes:
        generations: generations of candidates in the queue (our choice; the original adds one
            child at a time).
        sample: tournament size: the number of networks of which the best becomes the parent
            (our choice).
        initial: links of the initial population, as in the paper (IV-B).
        exploration: the mutations; by default random mutation alone, as in the original.
    """

    generations: int = at_least(1, default=4)
    sample: int = at_least(1, default=16)
    initial: InitialSettings = field(default_factory=InitialSettings)
    exploration: ExplorationSettings = field(
        default_factory=lambda: ExplorationSettings(p_random=1.0, p_flops=1.0)
    )
