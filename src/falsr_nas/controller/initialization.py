"""The initial population: diverse cells, and links of every density (paper, IV-B)."""

from __future__ import annotations

import numpy as np

from falsr_nas.controller.settings import InitialSettings
from falsr_nas.space.genome import Cell, Genome
from falsr_nas.space.search_space import SearchSpace


class InitialDesign:
    """Draws initial genomes: each cell of the space once, repeated n times; then arbitrary cells without repeats.

    Attributes:
        unused: indices of the cells not drawn yet, the next one last.
    """

    def __init__(
        self, settings: InitialSettings, space: SearchSpace, rng: np.random.Generator
    ) -> None:
        self.settings = settings
        self.space = space
        self.unused: list[int] = [int(i) for i in rng.permutation(len(space.cells))]

    def draw(self, rng: np.random.Generator) -> Genome:
        """The next initial genome."""
        return self.space.genome(self._cells(rng), self._links(rng))

    def _cells(self, rng: np.random.Generator) -> list[Cell]:
        space = self.space
        if self.unused:
            return [space.cells[self.unused.pop()]] * space.n
        few = len(space.cells) < space.n  # a space this small cannot fill a network without repeats
        return [space.cells[i] for i in rng.choice(len(space.cells), size=space.n, replace=few)]

    def _links(self, rng: np.random.Generator) -> np.ndarray:
        p, bits = rng.random(), self.space.bits
        if p < self.settings.p_random:
            return rng.random(bits) < 0.5
        dense = p < self.settings.p_random + self.settings.p_dense
        return np.full(bits, dense)
