"""NSGA-II with the paper's variations (paper, IV).

The paper's variations are the initial population, the crossover and the mutations. Selection is
that of Deb et al. (2002), under constrained domination.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.crossover import CROSSOVERS
from falsr_nas.controller.individual import Individual, assess, select, tournament
from falsr_nas.controller.initialization import InitialDesign
from falsr_nas.controller.mutation import Mutations, exploration, pick_mutation
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.space.genome import Genome

S = TypeVar("S", bound=NSGA2Settings)


class NSGA2(BaseController[S]):
    """NSGA-II with the paper's initial population, crossover and mutations.

    It is generational or steady-state, depending on whether whole generations or single children
    are asked for.
    """

    def __init__(self, settings: S, problem: Problem, rng: np.random.Generator) -> None:
        super().__init__(settings, problem, rng)
        self.initial = InitialDesign(settings.initial, problem.space, rng)
        self.crossover = CROSSOVERS[settings.crossover]
        self.mutations = self.all_mutations()
        self.population: list[Individual] = []

    def all_mutations(self) -> Mutations:
        """Return the mutations by name, each with its probability at the start."""
        return exploration(self.settings.exploration, self.space)

    def draw(self) -> tuple[Genome, Origin]:
        """Draw from the initial design in generation 0, otherwise make a child."""
        if self.admission.generation == 0 or not self.population:
            return self.initial.draw(self.rng), Origin(("initial",))
        return self._child()

    def vary(self, genome: Genome, origin: Origin) -> tuple[Genome, Origin]:
        """Mutate a promising network once more."""
        name, mutate = pick_mutation(self.mutations, self.rng)
        mutant = mutate(genome, self.rng)
        return mutant.genome, Origin((*origin.operators, name), origin.parents, mutant.log_prob)

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Keep the best of the population and the new evaluations (elitist truncation).

        Where a surrogate corrects the scores, earlier candidates can return to the population.
        """
        size = self.settings.population_size
        pool = [*(individual.evaluation for individual in self.population), *scored(evaluations)]
        if self.screening is not None:
            pool = self.screening.best(pool, size)
        self.population = select(self.individuals(pool), size)

    def state(self) -> dict[str, Any]:
        """Return population, generator and the rest of the initial design, as JSON."""
        return {
            **super().state(),
            "population": [individual.evaluation.key for individual in self.population],
            **self.initial.state(),
        }

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        super().restore(state, told, pending)
        by_key = {evaluation.key: evaluation for evaluation in told}
        self.population = self.individuals([by_key[key] for key in state["population"]])
        assess(self.population)
        self.initial.restore(state)

    def _child(self) -> tuple[Genome, Origin]:
        """Make one child: tournament, crossover, mutation (paper, IV-C to IV-E)."""
        mother = tournament(self.population, self.rng)
        genome, log_prob = mother.genome, None
        operators: tuple[str, ...] = ()
        parents: tuple[str, ...] = (mother.evaluation.key,)
        if crossed := self.rng.random() < self.settings.p_crossover:
            father = tournament(self.population, self.rng)
            genome = self.crossover(mother.genome, father.genome, self.rng)
            operators, parents = ("crossover",), (mother.evaluation.key, father.evaluation.key)
        if not crossed or self.rng.random() < self.settings.p_mutation:
            name, mutate = pick_mutation(self.mutations, self.rng)
            mutant = mutate(genome, self.rng)
            genome, operators, log_prob = mutant.genome, (*operators, name), mutant.log_prob
        return genome, Origin(operators, parents, log_prob)
