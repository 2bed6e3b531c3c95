"""Base class of the controllers: constructor, ask, state and restore."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.admission import Admission
from falsr_nas.controller.settings import Constraints, ControllerSettings
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

S = TypeVar("S", bound=ControllerSettings)


class BaseController(ABC, Generic[S]):
    """Implements :class:`~falsr_nas.controller.controller.Controller`.

    Subclasses define :meth:`draw` and :meth:`tell`, and extend :meth:`state` and :meth:`restore`
    where they keep more than the generator of random numbers.

    Args:
        settings: settings of the controller.
        space: the search space.
        constraints: limits on mult-adds and PSNR.
        rng: the only source of randomness.

    Raises:
        UserError: no network of the space meets the mult-adds limit.
    """

    def __init__(
        self, settings: S, space: SearchSpace, constraints: Constraints, rng: np.random.Generator
    ) -> None:
        self.settings = settings
        self.space = space
        self.constraints = constraints
        self.rng = rng
        self.admission = Admission(space, constraints.max_mult_adds, settings.population_size)

    def ask(self, count: int) -> list[Candidate]:
        """Propose up to ``count`` new candidates; fewer only where the space has no more."""
        return self.admission.admit(count, self.draw, self.rng)

    @abstractmethod
    def draw(self) -> tuple[Genome, Origin]:
        """Draw a genome, which may have been proposed before or exceed the mult-adds limit."""

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn from evaluations of proposed candidates."""

    def parents(self) -> set[str]:
        """Return no keys; subclasses that make children return those of their population."""
        return set()

    def state(self) -> dict[str, Any]:
        """Return the state as JSON: the number of candidates and the state of ``rng``.

        Subclasses add their own entries.
        """
        return {"asked": self.admission.asked, "rng": self.rng.bit_generator.state}

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`. Subclasses restore their own entries first."""
        self.admission.restore(state["asked"], [*(e.key for e in told), *(c.key for c in pending)])
        self.rng.bit_generator.state = state["rng"]
