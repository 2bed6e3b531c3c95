"""Who is let into a search: genomes within the mult-adds limit that were never proposed before."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from falsr_nas.archive.candidate import Candidate, Origin
from falsr_nas.errors import UserError
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.enumeration import affordable_genomes, lightest
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

ATTEMPTS = 100
"""Draws from an operator, and then from the whole space, before the space is gone through in order."""


class Admission:
    """Turns draws of genomes into candidates, each new and affordable.

    Attributes:
        space: where the genomes come from.
        limit: most mult-adds, or None.
        population_size: candidates of a generation.
        asked: candidates admitted so far.

    Raises:
        UserError: when no network of the space meets the limit.
    """

    def __init__(
        self, space: SearchSpace, max_mult_adds: float | None, population_size: int
    ) -> None:
        self.space = space
        self.population_size = population_size
        self.limit = None if max_mult_adds is None else max_mult_adds * 1e9
        self.asked = 0
        self._seen: set[str] = set()
        least = genome_cost(lightest(space)).mult_adds
        if self.limit is not None and least > self.limit:
            raise UserError(
                f"constraints.max_mult_adds is {max_mult_adds:g} G, but the lightest network of this space needs {least / 1e9:.3g} G:"
                " raise the limit or add lighter choices to the space"
            )

    @property
    def generation(self) -> int:
        """The generation of the next candidate."""
        return self.asked // self.population_size

    def admit(
        self, count: int, draw: Callable[[], tuple[Genome, Origin]], rng: np.random.Generator
    ) -> list[Candidate]:
        """Up to ``count`` candidates, each the first draw that is new and affordable; fewer only when no such network is left."""
        candidates: list[Candidate] = []
        for _ in range(count):
            candidate = self._admit(draw, rng)
            if candidate is None:
                break
            candidates.append(candidate)
        return candidates

    def restore(self, asked: int, keys: Iterable[str]) -> None:
        """Continue after ``asked`` candidates, of which these keys were proposed."""
        self.asked, self._seen = asked, set(keys)

    def _admit(
        self, draw: Callable[[], tuple[Genome, Origin]], rng: np.random.Generator
    ) -> Candidate | None:
        """The first draw that may be let in; after ATTEMPTS of them any network that may. None: no such network is left."""
        for _ in range(ATTEMPTS):
            if candidate := self._try(*draw()):
                return candidate
        for _ in range(ATTEMPTS):
            if candidate := self._try(self.space.sample(rng), Origin(("sampled",))):
                return candidate
        for genome in affordable_genomes(self.space, self.limit):
            if candidate := self._try(genome, Origin(("enumerated",))):
                return candidate
        return None

    def _try(self, genome: Genome, origin: Origin) -> Candidate | None:
        cost = genome_cost(genome)
        if self.limit is not None and cost.mult_adds > self.limit:
            return None
        genome = genome.canonical()
        if genome.key in self._seen:
            return None
        candidate = Candidate(genome, cost, origin, self.generation, self.asked)
        self._seen.add(genome.key)
        self.asked += 1
        return candidate
