"""pymoo's NSGA-II: ``pymoo``, a baseline to compare controllers with.

    pip install 'falsr-nas[compare]'
    python -m falsr_nas.search plugins=[plugins/pymoo_nsga2.py] controller=pymoo

Worker processes load this file, too, so pymoo is imported only where the controller runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.settings import (
    CONTROLLERS,
    ControllerSettings,
)
from falsr_nas.core.settings import probability
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.genome import Genome

if TYPE_CHECKING:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.population import Population


class PymooNSGA2(BaseController["PymooSettings"]):
    """Runs pymoo's NSGA-II on a mixed-variable problem: cells and ends are choices, links bits.

    Proposals that repeat a network or exceed a limit are skipped. Scored evaluations
    are passed to pymoo as offspring; the minimum PSNR is an inequality constraint. The population
    and the random generator are saved, so a restored search continues exactly.
    """

    def __init__(self, settings: PymooSettings, problem: Problem, rng: np.random.Generator) -> None:
        from pymoo.core.problem import Problem
        from pymoo.core.variable import Binary, Choice

        super().__init__(settings, problem, rng)
        space = problem.space
        cells = {f"cell{i}": Choice(options=list(range(len(space.cells)))) for i in range(space.n)}
        links = {f"link{i}": Binary() for i in range(space.bits)}
        choices = list(range(len(space.ends)))
        ends = {f"ends{i}": Choice(options=choices) for i in range(space.end_genes)}
        genes = cells | links | ends
        self._genes = list(genes)
        self._problem = Problem(vars=genes, n_obj=len(problem.objectives), n_ieq_constr=1)
        self._proposals: deque[dict[str, Any]] = deque()
        self._algorithm = self._new_algorithm()

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Pass the scored evaluations to pymoo."""
        scored = [evaluation for evaluation in evaluations if evaluation.score]
        if scored:
            self._algorithm.tell(infills=self._population(scored))

    def state(self) -> dict[str, Any]:
        """Return the population, the proposals not yet used and the generator, as JSON."""
        members = self._algorithm.pop if self._algorithm.is_initialized else []
        return {
            **super().state(),
            # pymoo keeps the rank and the crowding distance from before it cut the last front.
            "population": [
                [one.get("key"), *map(float, one.get("rank", "crowding"))] for one in members
            ],
            "proposals": [[int(one[name]) for name in self._genes] for one in self._proposals],
        }

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        by_key = {evaluation.key: evaluation for evaluation in told}
        self._algorithm = self._new_algorithm()
        if state["population"]:
            keys, ranks, distances = zip(*state["population"], strict=True)
            members = [by_key[key] for key in keys]
            self.learn(members)
            self._algorithm.pop = self._population(members)
            self._algorithm.pop.set("rank", list(ranks), "crowding", list(distances))
        self._proposals = deque(self._parameters(row) for row in state["proposals"])
        super().restore(state, told, pending)

    def draw(self) -> tuple[Genome, Origin]:
        """Take pymoo's next proposal."""
        if not self._proposals:
            offspring = self._algorithm.ask()
            if offspring is None:  # pymoo found no genome that is not in the population
                return self.space.sample(self.rng), Origin(("sampled",))
            self._proposals.extend(one.X for one in offspring)
        drawn = self._proposals.popleft()
        cells, bits, ends = (
            tuple(int(drawn[name]) for name in self._genes if name.startswith(kind))
            for kind in ("cell", "link", "ends")
        )
        return self.space.decode(cells, bits, ends), Origin(("pymoo",))

    def _population(self, evaluations: Sequence[Evaluation]) -> Population:
        from pymoo.core.population import Population

        genomes = [self.space.encode(evaluation.candidate.genome) for evaluation in evaluations]
        # The first number of each is the negative PSNR.
        points = [self.problem.point(evaluation) for evaluation in evaluations]
        population = Population.new(
            X=[self._parameters((*cells, *bits, *ends)) for cells, bits, ends in genomes],
            F=np.array(points),
            G=np.array(
                [
                    [self.problem.violation(evaluation, -point[0])]
                    for evaluation, point in zip(evaluations, points, strict=True)
                ]
            ),
        )
        population.set("key", [evaluation.key for evaluation in evaluations])
        return population

    def _parameters(self, row: Sequence[int]) -> dict[str, Any]:
        return {
            name: bool(value) if name.startswith("link") else value
            for name, value in zip(self._genes, row, strict=True)
        }

    def _new_algorithm(self) -> NSGA2:
        from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
        from pymoo.core.mixed import (
            MixedVariableDuplicateElimination,
            MixedVariableMating,
            MixedVariableSampling,
        )
        from pymoo.core.termination import NoTermination
        from pymoo.core.variable import Binary, Choice
        from pymoo.operators.crossover.ux import UX
        from pymoo.operators.selection.tournament import TournamentSelection

        same = MixedVariableDuplicateElimination()
        mating = MixedVariableMating(
            selection=TournamentSelection(func_comp=binary_tournament),
            crossover={kind: UX(prob=self.settings.p_crossover) for kind in (Choice, Binary)},
            eliminate_duplicates=same,
        )
        algorithm = NSGA2(
            pop_size=self.settings.population_size,
            sampling=MixedVariableSampling(),
            mating=mating,
            eliminate_duplicates=same,
        )
        algorithm.setup(self._problem, termination=NoTermination())
        algorithm.random_state = self.rng
        return algorithm


@CONTROLLERS.register("pymoo", PymooNSGA2, extra="compare")
@dataclass(frozen=True)
class PymooSettings(ControllerSettings):
    """Settings of ``controller=pymoo``, with pymoo's own crossover and mutation.

    Attributes:
        p_crossover: probability of crossover (pymoo's default).
    """

    p_crossover: float = probability(default=0.9)
