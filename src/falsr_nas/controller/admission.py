"""Turns genomes into candidates: drops those already proposed or above a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, starmap
from typing import NamedTuple

import numpy as np

from falsr_nas.archive.candidate import Candidate, Origin
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.bounds import value_range
from falsr_nas.objectives.objective import MULT_ADDS
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.enumeration import affordable_genomes, draw_light, lightest
from falsr_nas.space.genome import Genome

ATTEMPTS = 100
"""Number of draws from the controller, then of uniform draws, before the space is enumerated."""

LIGHT_ATTEMPTS = 1000
"""Number of draws of light networks after these, under limits on other costs than mult-adds."""

SAMPLED = 20_000
"""Number of uniform draws instead of those, under a lower limit."""

ENUMERATED = 20_000
"""Most networks that are enumerated for a candidate under limits that the enumeration ignores."""


class Drawn(NamedTuple):
    """A canonical genome that a controller has drawn, its cost, and how it was drawn."""

    genome: Genome
    cost: Cost
    origin: Origin


class Admission:
    """Admits genomes as candidates if their networks are new and meet the limits.

    Args:
        problem: of the search.
        population_size: number of candidates per generation.

    Attributes:
        asked: number of candidates admitted so far.

    Raises:
        UserError: no network of the space meets a limit.
    """

    def __init__(self, problem: Problem, population_size: int) -> None:
        self.population_size = population_size
        self.asked = 0
        self._seen: set[str] = set()
        self._problem = problem
        most, least = problem.max_mult_adds, problem.min_mult_adds
        lowest = genome_cost(lightest(problem.space)).mult_adds
        if most is not None and lowest > most:
            raise UserError(
                f"constraints.max_mult_adds is {most / 1e9:g} G, but the lightest network of"
                f" this space needs {lowest / 1e9:.3g} G: raise the limit or add lighter choices to"
                " the space"
            )
        for objective, most in problem.limits:
            low, _ = value_range(objective, problem.space)
            if low > most:
                raise UserError(
                    f"the limit on {objective.label} is {most / objective.factor:g}"
                    f" {objective.unit}, but the networks of this space need"
                    f" {low / objective.factor:.3g} {objective.unit} or more: raise the limit or"
                    " add lighter choices to the space"
                )
        if least is not None:
            _, high = value_range(MULT_ADDS, problem.space)
            if high < least:
                raise UserError(
                    f"the lower limit on {MULT_ADDS.label} is {least / 1e9:g} G, but the networks"
                    f" of this space have {high / 1e9:.3g} G or less"
                )

    @property
    def generation(self) -> int:
        """Generation of the next candidate, counted from 0."""
        return self.asked // self.population_size

    def admit(
        self, count: int, draw: Callable[[], tuple[Genome, Origin]], rng: np.random.Generator
    ) -> list[Candidate]:
        """Return up to ``count`` candidates; fewer only where no other is found.

        Args:
            count: number of candidates.
            draw: draws a genome; it is called until a genome can be admitted.
            rng: draws from the space where ``draw`` finds no new genome.
        """
        candidates: list[Candidate] = []
        for _ in range(count):
            drawn = next(filter(None, starmap(self._admissible, self._attempts(draw, rng))), None)
            if drawn is None:
                break
            candidates.append(self.admit_drawn(drawn))
        return candidates

    def pool(self, count: int, draw: Callable[[], tuple[Genome, Origin]]) -> list[Drawn]:
        """Return up to ``count`` different draws that can be admitted, without admitting them.

        It gives up after ATTEMPTS draws in a row that are not admissible or not new.
        """
        found: dict[str, Drawn] = {}
        misses = 0
        while len(found) < count and misses < ATTEMPTS:
            drawn = self._admissible(*draw())
            misses += 1
            if drawn and drawn.genome.key not in found:
                found[drawn.genome.key] = drawn
                misses = 0
        return list(found.values())

    def admit_drawn(self, drawn: Drawn) -> Candidate:
        """Admit a network of :meth:`pool`."""
        candidate = Candidate(*drawn, self.generation, self.asked)
        self._seen.add(candidate.key)
        self.asked += 1
        return candidate

    def restore(self, asked: int, keys: Iterable[str]) -> None:
        """Continue after ``asked`` candidates with these keys."""
        self.asked, self._seen = asked, set(keys)

    def _attempts(
        self, draw: Callable[[], tuple[Genome, Origin]], rng: np.random.Generator
    ) -> Iterator[tuple[Genome, Origin]]:
        """Draw ATTEMPTS times, then from the space, then enumerate the lightest networks of it.

        All of them, or ENUMERATED where other costs than mult-adds, or costs from below, are
        limited.
        """
        problem, space = self._problem, self._problem.space
        floor = problem.min_mult_adds is not None
        for _ in range(ATTEMPTS):
            yield draw()
        for _ in range(SAMPLED if floor else ATTEMPTS):
            yield space.sample(rng), Origin(("sampled",))
        # Not for mult-adds, by which the enumeration finds networks at once.
        for _ in range(LIGHT_ATTEMPTS if problem.limits else 0):
            yield draw_light(space, rng), Origin(("sampled",))
        most = ENUMERATED if problem.limits or floor else None
        for genome in islice(affordable_genomes(space, problem.max_mult_adds), most):
            yield genome, Origin(("enumerated",))

    def _admissible(self, genome: Genome, origin: Origin) -> Drawn | None:
        """Return a draw in canonical form; None if it exceeds a limit or is known."""
        drawn = Drawn(genome, genome_cost(genome), origin)
        if not self._problem.admissible(drawn):
            return None
        genome = genome.canonical()
        return None if genome.key in self._seen else drawn._replace(genome=genome)
