"""Optuna's NSGA-II and TPE samplers: ``optuna``, a baseline to compare controllers with.

    pip install 'falsr-nas[compare]'
    python -m falsr_nas.search plugins=[plugins/optuna_sampler.py] controller=optuna \
        controller.sampler=tpe

Worker processes load this file, too, so Optuna is imported only where the controller runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
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
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

GENERATION = "NSGAIISampler:generation"
"""System attribute in which Optuna's sampler stores the generation of a trial."""


class Sampler(StrEnum):
    """Optuna's sampler; from Python, its name as text will do."""

    nsga2 = "nsga2"
    tpe = "tpe"
    """Tree-structured Parzen estimator, for several objectives; each attribute of a cell is a
    parameter."""


class OptunaSampler(BaseController["OptunaSettings"]):
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
        self, settings: OptunaSettings, problem: Problem, rng: np.random.Generator
    ) -> None:
        from optuna import logging
        from optuna.distributions import CategoricalDistribution, IntDistribution

        logging.set_verbosity(logging.WARNING)
        super().__init__(settings, problem, rng)
        space = problem.space
        choices = (
            space.operators,
            space.channels,
            space.kernels,
            space.repeats,
            space.residuals,
        )
        self._sizes = tuple(len(one) for one in choices)  # space.cells is their product
        tpe = settings.sampler == Sampler.tpe
        cell = self._sizes if tpe else (len(space.cells),)
        self._parts = len(cell)  # parameters of a cell
        sizes = {f"cell{i}.{a}": size for i in range(space.n) for a, size in enumerate(cell)}
        sizes |= {f"link{i}": 2 for i in range(space.bits)}
        sizes |= {f"ends{i}": len(space.ends) for i in range(space.end_genes)}
        self._genes: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(range(size)) if tpe else IntDistribution(0, size - 1)
            for name, size in sizes.items()
        }
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
                self._fail(rejected)
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
                self._fail(trial)
            else:
                point = self.problem.point(evaluation)  # negative PSNR first
                trial.set_constraint("psnr", self.problem.violation(evaluation, -point[0]))
                self._study.tell(trial, point)

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
            self._fail(trial)
        else:
            self._drawn[genome.key] = trial
        return genome, Origin(("optuna",))

    def _fail(self, trial: Trial) -> None:
        """Tell the study that a draw gets no score."""
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)

    def _add(self, evaluation: Evaluation) -> None:
        """Add an evaluation to the study as if its sampler had proposed the candidate."""
        from optuna.trial import create_trial

        if evaluation.score is None:
            return
        point = self.problem.point(evaluation)
        trial = create_trial(
            params=dict(zip(self._genes, self._encode(evaluation.candidate.genome), strict=True)),
            distributions=dict(self._genes),
            values=point,
            constraints={"psnr": self.problem.violation(evaluation, -point[0])},
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

    def _new_study(self) -> Study:
        from optuna import create_study
        from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler

        settings, seed = self.settings, int(self.rng.integers(2**32))
        sampler: BaseSampler
        if settings.sampler == Sampler.tpe:
            sampler = TPESampler(n_startup_trials=settings.population_size, seed=seed)
        else:
            sampler = NSGAIISampler(
                population_size=settings.population_size,
                mutation_prob=settings.p_mutation,
                crossover_prob=settings.p_crossover,
                seed=seed,
            )
        return create_study(directions=["minimize"] * len(self.problem.objectives), sampler=sampler)


@CONTROLLERS.register("optuna", OptunaSampler, extra="compare")
@dataclass(frozen=True)
class OptunaSettings(ControllerSettings):
    """Settings of ``controller=optuna``; its NSGA-II has Optuna's own crossover and mutation.

    Attributes:
        sampler: which sampler.
        p_crossover: probability of crossover, of ``nsga2`` (Optuna's default).
        p_mutation: probability that a gene is redrawn, of ``nsga2``; None for one gene on average,
            Optuna's default.
    """

    sampler: Sampler = Sampler.nsga2
    p_crossover: float = probability(default=0.9)
    p_mutation: float | None = probability(default=None, null="one gene on average")
