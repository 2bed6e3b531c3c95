"""Random search, the baseline that every other controller must beat."""

from __future__ import annotations

from collections.abc import Sequence

from falsr_nas.archive.candidate import Evaluation, Origin
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.settings import RandomSettings
from falsr_nas.space.genome import Genome


class RandomSearch(BaseController[RandomSettings]):
    """Draws uniformly from the space and learns nothing."""

    def draw(self) -> tuple[Genome, Origin]:
        """Draw a genome uniformly."""
        return self.space.sample(self.rng), Origin(("sampled",))

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Do nothing."""
