"""Networks as arrays, thousands at a time: their cells, links and ends by number, and their costs.

A genome costs tens of microseconds to build and to measure. Arrays cost a hundredth of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from falsr_nas.space.cell import EMPTY_CELL, Cell
from falsr_nas.space.ends import Ends
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import link_bits, link_places

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ATTRIBUTES = tuple(field.name for field in fields(Cell))
"""Names of a cell's attributes."""

Key = TypeVar("Key")


def attributes_of(cell: Cell) -> tuple[tuple[str, str], ...]:
    """Return the attributes of a cell with their names, as text; of an empty one the operator."""
    names = ATTRIBUTES[:1] if cell.is_empty else ATTRIBUTES
    return tuple((name, str(getattr(cell, name))) for name in names)


@dataclass(frozen=True)
class Networks:
    """Networks of at most n cells, one row each. Shorter ones have empty cells at the end.

    Attributes:
        cell_table: the cells that :attr:`cells` refers to.
        ends_table: the pairs of ends that :attr:`ends` refers to.
        cells: index (N, n) of each block's cell in its table.
        links: whether a network has each link (N, n(n+1)/2), in the order of the paper's index.
        ends: index (N,) of each network's ends in their table.
    """

    cell_table: tuple[Cell, ...]
    ends_table: tuple[Ends, ...]
    cells: IntArray
    links: BoolArray
    ends: IntArray

    @classmethod
    def of(cls, genomes: Sequence[Genome], n: int | None = None) -> Networks:
        """Return the networks of genomes, with the cells and ends that these have as tables.

        ``n`` is the number of cells; None for that of the deepest.
        """
        cells, ends = _Numbers[Cell](), _Numbers[Ends]()
        n = max((genome.n for genome in genomes), default=0) if n is None else n
        arrays = _arrays(genomes, n, cells, ends)
        return cls(tuple(cells), tuple(ends), *arrays)

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, rows: IntArray | slice) -> Networks:
        return replace(self, cells=self.cells[rows], links=self.links[rows], ends=self.ends[rows])

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """(node, target) of each possible link."""
        return link_places(self.cells.shape[1])

    def links_and_ends(self) -> FloatArray:
        """Return whether a network has each link, and each pair of ends, as 0 and 1 (N, L + E)."""
        return np.hstack([self.links, np.eye(len(self.ends_table))[self.ends]])


class _Numbers(dict[Key, int]):
    """Numbers keys in the order in which they are looked up first."""

    def __missing__(self, key: Key) -> int:
        self[key] = number = len(self)
        return number


def _arrays(
    genomes: Sequence[Genome], n: int, cells: Mapping[Cell, int], ends: Mapping[Ends, int]
) -> tuple[IntArray, BoolArray, IntArray]:
    """Return the numbers of the cells (N, n), the link bits, and the numbers of the ends (N,)."""
    count = len(genomes)
    numbers = [
        [*(cells[cell] for cell in genome.cells), *(cells[EMPTY_CELL] for _ in range(genome.n, n))]
        for genome in genomes
    ]
    bits = [link_bits(genome, n) for genome in genomes]
    return (
        np.array(numbers, np.int64).reshape(count, n),
        np.array(bits, np.bool_).reshape(count, n * (n + 1) // 2),
        np.array([ends[genome.ends] for genome in genomes], np.int64),
    )
