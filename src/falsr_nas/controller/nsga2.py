"""NSGA-II with the paper's variations (paper, IV). Only these are ours; sorting and crowding are DEAP's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from deap import base, tools

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.admission import Admission
from falsr_nas.controller.crossover import single_point
from falsr_nas.controller.initialization import InitialDesign
from falsr_nas.controller.mutation import Mutations, exploration, pick
from falsr_nas.controller.settings import Constraints, NSGA2Settings
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace


def minimised(evaluation: Evaluation) -> tuple[float, float, float]:
    """A scored evaluation's objectives as they are minimised: PSNR, negative, and the logarithms of mult-adds and parameters.

    Logarithms change no domination, only the crowding distance: networks of 1 G and 2 G are as far apart as those of 100 G and 200 G
    (our choice).
    """
    score, price = evaluation.score, evaluation.candidate.cost
    assert score is not None, "only scored candidates compete"
    return -score.psnr, math.log(price.mult_adds), math.log(price.params)


def violation(evaluation: Evaluation, constraints: Constraints) -> float:
    """What a scored evaluation lacks to the least PSNR, in dB; 0 where it meets it."""
    assert evaluation.score is not None, "only scored candidates compete"
    return (
        0.0
        if constraints.min_psnr is None
        else max(0.0, constraints.min_psnr - evaluation.score.psnr)
    )


class ConstrainedFitness(base.Fitness):  # type: ignore[misc]
    """The three objectives; one that violates a constraint less dominates one that violates it more (Deb et al., 2002)."""

    weights = (-1.0, -1.0, -1.0)

    def __init__(self, evaluation: Evaluation, constraints: Constraints) -> None:
        super().__init__(minimised(evaluation))
        self.violation = violation(evaluation, constraints)

    def dominates(self, other: ConstrainedFitness, obj: slice = slice(None)) -> bool:
        """Constrained domination."""
        if self.violation != other.violation:
            return self.violation < other.violation
        return bool(super().dominates(other, obj))


class Individual:
    """A scored candidate in the population; DEAP reads its ``fitness`` and writes the crowding distance there."""

    def __init__(self, evaluation: Evaluation, constraints: Constraints) -> None:
        self.evaluation = evaluation
        self.fitness = ConstrainedFitness(evaluation, constraints)
        self.rank = 0

    @property
    def genome(self) -> Genome:
        """The network."""
        return self.evaluation.candidate.genome


def select(individuals: list[Individual], size: int) -> list[Individual]:
    """The ``size`` best by rank, then by crowding distance, assessed among themselves."""
    chosen: list[Individual] = tools.selNSGA2(individuals, size)
    assess(chosen)
    return chosen


def assess(population: list[Individual]) -> None:
    """Set every rank and crowding distance. They depend on nothing but this list, so a restored population has the same."""
    for rank, front in enumerate(tools.sortNondominated(population, len(population))):
        tools.emo.assignCrowdingDist(front)
        for individual in front:
            individual.rank = rank


def tournament(population: Sequence[Individual], rng: np.random.Generator) -> Individual:
    """The better of two drawn individuals: lower rank, then larger crowding distance (paper, IV-C: k = 2)."""
    a, b = [population[int(i)] for i in rng.integers(len(population), size=2)]
    return a if (a.rank, -a.fitness.crowding_dist) <= (b.rank, -b.fitness.crowding_dist) else b


class NSGA2:
    """Generational or steady-state: a generation is asked for at once, or a child at a time."""

    def __init__(
        self,
        settings: NSGA2Settings,
        space: SearchSpace,
        constraints: Constraints,
        rng: np.random.Generator,
    ) -> None:
        self.settings = settings
        self.space = space
        self.constraints = constraints
        self.rng = rng
        self.admission = Admission(space, constraints.max_mult_adds, settings.population_size)
        self.initial = InitialDesign(settings.initial, space, rng)
        self.mutations: Mutations = exploration(settings.exploration, space)
        self.population: list[Individual] = []

    def ask(self, count: int) -> list[Candidate]:
        """Up to ``count`` new candidates; fewer only when the space has no more."""
        return self.admission.admit(count, self._draw, self.rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Let the scored ones compete with the population for its places."""
        scored = [
            Individual(evaluation, self.constraints)
            for evaluation in evaluations
            if evaluation.score
        ]
        self.population = select(self.population + scored, self.settings.population_size)

    def state(self) -> dict[str, Any]:
        """Population, generator and what is left of the initial design, as JSON."""
        return {
            "population": [individual.evaluation.key for individual in self.population],
            "asked": self.admission.asked,
            "unused_cells": self.initial.unused,
            "rng": self.rng.bit_generator.state,
        }

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        by_key = {evaluation.key: evaluation for evaluation in told}
        self.population = [Individual(by_key[key], self.constraints) for key in state["population"]]
        assess(self.population)
        self.admission.restore(state["asked"], [*by_key, *(candidate.key for candidate in pending)])
        self.initial.unused = list(state["unused_cells"])
        self.rng.bit_generator.state = state["rng"]

    def _draw(self) -> tuple[Genome, Origin]:
        if self.admission.generation == 0 or not self.population:
            return self.initial.draw(self.rng), Origin(("initial",))
        return self._child()

    def _child(self) -> tuple[Genome, Origin]:
        """One child: tournament, crossover, mutation (paper, IV-C to IV-E)."""
        mother = tournament(self.population, self.rng)
        genome, log_prob = mother.genome, None
        operators: tuple[str, ...] = ()
        parents: tuple[str, ...] = (mother.evaluation.key,)
        if crossed := self.rng.random() < self.settings.p_crossover:
            father = tournament(self.population, self.rng)
            genome = single_point(mother.genome, father.genome, self.rng)
            operators, parents = ("crossover",), (mother.evaluation.key, father.evaluation.key)
        if not crossed or self.rng.random() < self.settings.p_mutation:
            name, mutate = pick(self.mutations, self.rng)
            mutant = mutate(genome, self.rng)
            genome, operators, log_prob = mutant.genome, (*operators, name), mutant.log_prob
        return genome, Origin(operators, parents, log_prob)
