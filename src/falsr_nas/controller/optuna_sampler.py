"""Optuna's NSGA-II and TPE samplers as a controller, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial, TrialState, create_trial

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.individual import violation
from falsr_nas.controller.settings import Constraints, OptunaSettings, Sampler
from falsr_nas.objectives.objective import PAPER_OBJECTIVES, Objectives
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

GENERATION = "NSGAIISampler:generation"
"""System attribute in which Optuna's sampler stores the generation of a trial."""


class OptunaSampler(BaseController[OptunaSettings]):
    """Runs an Optuna study whose parameters are the cells, links and ends.

    For NSGA-II parameters are integers because Optuna is slow with long lists of categories. Their
    order has no meaning: uniform crossover swaps them and mutation redraws them. For TPE, which
    would use the order, each attribute of a cell is a category.

    A draw that repeats a network or exceeds a limit is a failed trial. The minimum PSNR
    is a constraint of the study.

    The state of the sampler's random generators cannot be saved. A restored search knows all
    evaluations, but its draws differ from those of a search that was not interrupted.
    """

    def __init__(
        self,
        settings: OptunaSettings,
        space: SearchSpace,
        constraints: Constraints,
        rng: np.random.Generator,
        objectives: Objectives = PAPER_OBJECTIVES,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        super().__init__(settings, space, constraints, rng, objectives)
        choices = (
            space.operators,
            space.channels,
            space.kernels,
            space.repeats,
            space.residuals,
        )
        self._sizes = tuple(len(one) for one in choices)  # space.cells is their product
        if settings.sampler is Sampler.tpe:
            cell, distribution = self._sizes, _category
        else:
            cell, distribution = (len(space.cells),), _integer
        self._parts = len(cell)  # parameters of a cell
        sizes = {f"cell{i}.{a}": size for i in range(space.n) for a, size in enumerate(cell)}
        sizes |= {f"link{i}": 2 for i in range(space.bits)}
        sizes |= {f"ends{i}": len(space.ends) for i in range(space.end_genes)}
        self._genes = {name: distribution(size) for name, size in sizes.items()}
        self._trials: dict[str, Trial] = {}  # by key: candidates that are being evaluated
        self._drawn: dict[str, Trial] = {}  # by key: draws for the next candidate
        self._study = self._new_study()

    def ask(self, count: int) -> list[Candidate]:
        """Propose up to ``count`` new candidates; fewer only where no other is found."""
        candidates: list[Candidate] = []
        for _ in range(count):
            self._drawn.clear()
            admitted = super().ask(1)
            trial = self._drawn.pop(admitted[0].key, None) if admitted else None
            for rejected in self._drawn.values():
                self._study.tell(rejected, state=TrialState.FAIL)
            if not admitted:
                break
            candidates += admitted
            if trial is not None:
                self._trials[admitted[0].key] = trial
        return candidates

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Tell the study; add networks that it did not propose itself."""
        for evaluation in evaluations:
            trial = self._trials.pop(evaluation.key, None)
            if trial is None:
                self._add(evaluation)
            elif evaluation.score is None:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                trial.set_constraint("psnr", violation(evaluation, self.constraints))
                self._study.tell(trial, self.objectives.point(evaluation))

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`, with other draws than the saved controller."""
        super().restore(state, told, pending)
        self._trials.clear()
        self._study = self._new_study()
        for evaluation in told:
            self._add(evaluation)

    def draw(self) -> tuple[Genome, Origin]:
        """Ask the study for a genome."""
        trial = self._study.ask(self._genes)
        values = [trial.params[name] for name in self._genes]
        genome = self._decode(values)
        if genome.key in self._drawn:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._drawn[genome.key] = trial
        return genome, Origin(("optuna",))

    def _add(self, evaluation: Evaluation) -> None:
        """Add an evaluation to the study as if its sampler had proposed the candidate."""
        if evaluation.score is None:
            return
        trial = create_trial(
            params=dict(zip(self._genes, self._encode(evaluation.candidate.genome), strict=True)),
            distributions=dict(self._genes),
            values=self.objectives.point(evaluation),
            constraints={"psnr": violation(evaluation, self.constraints)},
            system_attrs={GENERATION: evaluation.candidate.generation},
        )
        self._study.add_trial(trial)

    def _decode(self, values: Sequence[int]) -> Genome:
        cut = self.space.n * self._parts
        cells, others = values[:cut], values[cut:]
        bits, ends = others[: self.space.bits], others[self.space.bits :]
        if self._parts > 1:
            parts = np.array(cells).reshape(-1, self._parts).T
            cells = np.ravel_multi_index(tuple(parts), self._sizes).tolist()
        return self.space.decode(tuple(cells), tuple(bits), tuple(ends))

    def _encode(self, genome: Genome) -> list[int]:
        cells, bits, ends = self.space.encode(genome)
        if self._parts > 1:
            cells = tuple(np.column_stack(np.unravel_index(cells, self._sizes)).ravel().tolist())
        return [*cells, *bits, *ends]

    def _new_study(self) -> optuna.Study:
        settings, seed = self.settings, int(self.rng.integers(2**32))
        sampler: optuna.samplers.BaseSampler
        if settings.sampler is Sampler.tpe:
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=settings.population_size, seed=seed
            )
        else:
            sampler = optuna.samplers.NSGAIISampler(
                population_size=settings.population_size,
                mutation_prob=settings.p_mutation,
                crossover_prob=settings.p_crossover,
                seed=seed,
            )
        return optuna.create_study(
            directions=["minimize"] * len(self.objectives.chosen), sampler=sampler
        )


def _integer(size: int) -> BaseDistribution:
    return IntDistribution(0, size - 1)


def _category(size: int) -> BaseDistribution:
    return CategoricalDistribution(range(size))
