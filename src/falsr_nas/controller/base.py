"""Base class of the controllers: constructor, ask, state and restore."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.admission import Admission, Drawn
from falsr_nas.controller.individual import Individual
from falsr_nas.controller.settings import ControllerSettings
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.space.genome import Genome

ROUNDS = 2
"""Rounds of screening: each after the first varies the networks picked so far."""

if TYPE_CHECKING:
    from falsr_nas.controller.screening import Screening

S = TypeVar("S", bound=ControllerSettings)


class BaseController(ABC, Generic[S]):
    """Implements :class:`~falsr_nas.controller.controller.Controller`.

    Subclasses define :meth:`draw` and :meth:`learn`, and extend :meth:`state` and :meth:`restore`
    where they keep more than the generator of random numbers. With ``settings.screening`` above 1,
    draws are screened by a surrogate (:mod:`falsr_nas.controller.screening`).

    Args:
        settings: settings of the controller.
        problem: what the search looks for.
        rng: the only source of randomness.

    Raises:
        UserError: no network of the space meets a limit.
    """

    def __init__(self, settings: S, problem: Problem, rng: np.random.Generator) -> None:
        self.settings = settings
        self.problem = problem = replace(problem)  # what it learns is its own
        self.space = problem.space
        self.rng = rng
        self.admission = Admission(problem, settings.population_size)
        self.screening: Screening | None = None
        if settings.screening > 1:
            from falsr_nas.controller.screening import Screening

            self.screening = Screening(problem, settings.population_size)

    @property
    def population_size(self) -> int:
        """Number of candidates per generation."""
        return self.settings.population_size

    def ask(self, count: int) -> list[Candidate]:
        """Propose up to ``count`` new candidates; fewer only where no other is found."""
        candidates = self._screened(count)
        candidates += self.admission.admit(count - len(candidates), self.draw, self.rng)
        if self.screening is not None:
            self.screening.expect(candidates)
        return candidates

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn from evaluations of proposed candidates."""
        self.problem.learn(evaluations)
        if self.screening is not None:
            self.screening.learn(evaluations)
        self.learn(evaluations)

    @abstractmethod
    def draw(self) -> tuple[Genome, Origin]:
        """Draw a genome, which may have been proposed before or exceed a limit."""

    def vary(self, genome: Genome, origin: Origin) -> tuple[Genome, Origin] | None:
        """Draw a variation of a promising network that has not been evaluated.

        Its origin is that of the network, with one more operator. None, as here, where the
        controller has no operator for single networks.
        """
        return None

    @abstractmethod
    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn from evaluations of proposed candidates, after the surrogate did."""

    def individuals(self, evaluations: Sequence[Evaluation]) -> list[Individual]:
        """Make individuals of the scored evaluations, with the surrogate's scores without noise."""
        found = scored(evaluations)
        if self.screening is None:
            return [Individual(evaluation, self.problem) for evaluation in found]
        denoised = self.screening.denoised(found).tolist()
        return [
            Individual(evaluation, self.problem, psnr)
            for evaluation, psnr in zip(found, denoised, strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """Return the state as JSON: the number of candidates and the state of ``rng``.

        Subclasses add their own entries.
        """
        state = {"asked": self.admission.asked, "rng": self.rng.bit_generator.state}
        return state if self.screening is None else state | {"screening": self.screening.state()}

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`.

        Subclasses restore their own entries after it if they need the surrogate, and before it if
        they draw random numbers.
        """
        self.admission.restore(state["asked"], [*(e.key for e in told), *(c.key for c in pending)])
        self.rng.bit_generator.state = state["rng"]
        self.problem.learn(told)
        if self.screening is not None:
            self.screening.restore(state["screening"], told, pending)

    def _screened(self, count: int) -> list[Candidate]:
        """Return the ``count`` most promising of many draws; none while there is no surrogate."""
        screening = self.screening
        if screening is None or screening.surrogate is None or self.admission.generation == 0:
            return []
        size = -(-count * self.settings.screening // ROUNDS)
        pool: dict[str, Drawn] = {}
        picked: list[Drawn] = []
        for _ in range(ROUNDS):
            drawn = self.admission.pool(size, partial(self._draw_near, picked))
            pool |= {network.genome.key: network for network in drawn}
            members = list(pool.values())
            picked = [members[i] for i in screening.pick(members, count)]
        return [self.admission.admit_drawn(network) for network in picked]

    def _draw_near(self, picked: list[Drawn]) -> tuple[Genome, Origin]:
        """Vary one of the picked networks, where there are any and the controller can."""
        if not picked:
            return self.draw()
        network = picked[int(self.rng.integers(len(picked)))]
        return self.vary(network.genome, network.origin) or self.draw()
