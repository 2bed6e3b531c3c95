"""Individuals of a population: constrained domination, rank and crowding distance.

All is as in NSGA-II (Deb et al., 2002). Non-dominated sorting and crowding distance are DEAP's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from deap import base, tools

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.genome import Genome


class ConstrainedFitness(base.Fitness):  # type: ignore[misc]
    """Objectives with constrained domination: a smaller violation dominates a larger one."""

    def __init__(self, evaluation: Evaluation, problem: Problem, psnr: float | None = None) -> None:
        point = problem.point(evaluation, psnr)
        self.weights = (-1.0,) * len(point)  # DEAP's: all are minimised
        super().__init__(point)
        self.violation = problem.violation(evaluation, -point[0])

    def dominates(self, other: ConstrainedFitness, obj: slice = slice(None)) -> bool:
        """Return whether this fitness dominates ``other`` (constrained domination)."""
        if self.violation != other.violation:
            return self.violation < other.violation
        return bool(super().dominates(other, obj))


class Individual:
    """A scored candidate in a population.

    Args:
        evaluation: the candidate and its score, also an attribute.
        problem: of the search.
        psnr: PSNR in dB to compare it by instead of its score.

    Attributes:
        fitness: its objectives; DEAP stores the crowding distance there.
        rank: index of its front among the population's fronts, 0 for the best.
    """

    def __init__(self, evaluation: Evaluation, problem: Problem, psnr: float | None = None) -> None:
        self.evaluation = evaluation
        self.fitness = ConstrainedFitness(evaluation, problem, psnr)
        self.rank = 0

    @property
    def genome(self) -> Genome:
        """The network."""
        return self.evaluation.candidate.genome

    @property
    def preference(self) -> tuple[int, float]:
        """Sort key of NSGA-II: lower rank first, then larger crowding distance."""
        return self.rank, -self.fitness.crowding_dist


def select(population: list[Individual], size: int) -> list[Individual]:
    """Select the ``size`` best by rank, then by crowding distance, and assess them."""
    chosen: list[Individual] = tools.selNSGA2(population, size)
    assess(chosen)
    return chosen


def assess(population: list[Individual]) -> None:
    """Set the rank and the crowding distance of each individual.

    Both depend on this list alone, so a restored population has the same values.
    """
    for rank, front in enumerate(tools.sortNondominated(population, len(population))):
        tools.emo.assignCrowdingDist(front)
        for individual in front:
            individual.rank = rank


def tournament(
    population: Sequence[Individual], rng: np.random.Generator, size: int = 2
) -> Individual:
    """Draw ``size`` individuals with replacement; return the preferred one (paper, IV-C: k = 2)."""
    drawn = [population[int(i)] for i in rng.integers(len(population), size=size)]
    return min(drawn, key=lambda individual: individual.preference)
