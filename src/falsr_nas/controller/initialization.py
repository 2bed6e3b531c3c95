"""The initial population: diverse cells, and links of different density (paper, IV-B)."""

from __future__ import annotations

from typing import Any

import numpy as np

from falsr_nas.controller.settings import InitialSettings
from falsr_nas.core.errors import UserError
from falsr_nas.space.cell import Cell
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace


class InitialDesign:
    """Draws initial genomes.

    Given genomes come first. While a cell of the space has not been used, a genome repeats such a
    cell n times. After that, a genome has n different cells. Links are random, all set or all
    unset. Ends are drawn uniformly. Where cells may be empty, genomes are
    :meth:`SearchSpace.sample`'s, of any depth.

    Args:
        settings: given genomes, and probabilities of the links.
        space: the search space.
        rng: shuffles the cells.

    Attributes:
        unused: indices of the cells that have not been used, in reverse order of use.
        given: genomes that are still to come, in reverse order.

    Raises:
        UserError: a given genome is not of the space.
    """

    def __init__(
        self, settings: InitialSettings, space: SearchSpace, rng: np.random.Generator
    ) -> None:
        self.settings = settings
        self.space = space
        self.unused: list[int] = [int(i) for i in rng.permutation(len(space.cells))]
        self.given = [Genome.parse(text) for text in reversed(settings.genomes)]
        for genome in self.given:
            if genome not in space:
                raise UserError(f"controller.initial.genomes: {genome} is not in the search space")

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return the next initial genome."""
        if self.given:
            return self.given.pop()
        if self.space.has_empty:
            return self.space.sample(rng)
        cells, links = self._cells(rng), self._links(rng)
        return self.space.genome(cells, links, self.space.sample_ends(rng))

    def state(self) -> dict[str, Any]:
        """Return what is still to come, as JSON."""
        return {"unused_cells": self.unused, "given_genomes": len(self.given)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.unused = list(state["unused_cells"])
        self.given = self.given[: state.get("given_genomes", 0)]

    def _cells(self, rng: np.random.Generator) -> list[Cell]:
        space = self.space
        if self.unused:
            return [space.cells[self.unused.pop()]] * space.n
        few = len(space.cells) < space.n  # too few cells for n different ones
        return [space.cells[i] for i in rng.choice(len(space.cells), size=space.n, replace=few)]

    def _links(self, rng: np.random.Generator) -> np.ndarray:
        p, bits = rng.random(), self.space.bits
        if p < self.settings.p_random:
            return rng.random(bits) < 0.5
        dense = p < self.settings.p_random + self.settings.p_dense
        return np.full(bits, dense)
