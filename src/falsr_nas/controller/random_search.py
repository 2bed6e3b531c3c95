"""Random search: the least that any other controller must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.controller.admission import Admission
from falsr_nas.controller.settings import Constraints, RandomSettings
from falsr_nas.space.search_space import SearchSpace


class RandomSearch:
    """Draws uniformly from the space and learns nothing."""

    def __init__(
        self,
        settings: RandomSettings,
        space: SearchSpace,
        constraints: Constraints,
        rng: np.random.Generator,
    ) -> None:
        self.space = space
        self.rng = rng
        self.admission = Admission(space, constraints.max_mult_adds, settings.population_size)

    def ask(self, count: int) -> list[Candidate]:
        """Up to ``count`` new candidates; fewer only when the space has no more."""
        return self.admission.admit(
            count, lambda: (self.space.sample(self.rng), Origin(("sampled",))), self.rng
        )

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, Any]:
        """The generator, as JSON."""
        return {"asked": self.admission.asked, "rng": self.rng.bit_generator.state}

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        self.admission.restore(state["asked"], [*(e.key for e in told), *(c.key for c in pending)])
        self.rng.bit_generator.state = state["rng"]
