"""Networks as arrays, thousands at a time: their cells, links and ends by number, and their costs.

A genome costs tens of microseconds to build and to measure. Arrays cost a hundredth of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import (
    cell_mult_adds,
    cell_params,
    input_pixels,
    stem_conv,
    upsampler_convs,
)
from falsr_nas.space.ends import Ends
from falsr_nas.space.genome import Genome
from falsr_nas.space.layers import Conv
from falsr_nas.space.search_space import SearchSpace, link_bits, link_places

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ATTRIBUTES = tuple(field.name for field in fields(Cell))
"""Attributes of a cell in the order of the columns of :attr:`Encoding.attributes`."""

NONE = -1
"""Attribute without effect: the residual of a cell of one repeat."""

MOST_READ = 2**20
"""Above the number of channels that a cell can read."""

Key = TypeVar("Key")


def attributes_of(cell: Cell) -> tuple[tuple[str, str], ...]:
    """Return the attributes of a cell with their names, as text."""
    return tuple((name, str(getattr(cell, name))) for name in ATTRIBUTES)


@dataclass(frozen=True)
class Networks:
    """Networks with the same number of cells, one row each.

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
    def of(cls, genomes: Sequence[Genome]) -> Networks:
        """Return the networks of genomes, with the cells and ends that these have as tables."""
        cells, ends = _Numbers[Cell](), _Numbers[Ends]()
        arrays = _arrays(genomes, cells, ends)
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

    def rows(self) -> list[bytes]:
        """Return a text for each network, which tells it from others with the same tables."""
        together = np.column_stack([self.cells, self.ends, self.links]).astype(np.uint16)
        return [row.tobytes() for row in together]

    def same_as(self, other: Networks) -> BoolArray:
        """Return whether each network is that of the same row of ``other`` (N,).

        Both have the same tables.
        """
        equal = (self.cells == other.cells).all(axis=1) & (self.links == other.links).all(axis=1)
        return np.asarray(equal & (self.ends == other.ends))


class _Numbers(dict[Key, int]):
    """Numbers keys in the order in which they are looked up first."""

    def __missing__(self, key: Key) -> int:
        self[key] = number = len(self)
        return number


def _arrays(
    genomes: Sequence[Genome], cells: Mapping[Cell, int], ends: Mapping[Ends, int]
) -> tuple[IntArray, BoolArray, IntArray]:
    """Return the numbers of the cells (N, n), the link bits, and the numbers of the ends (N,)."""
    count, n = len(genomes), genomes[0].n if genomes else 0
    numbers = [[cells[cell] for cell in genome.cells] for genome in genomes]
    bits = [link_bits(genome) for genome in genomes]
    return (
        np.array(numbers, np.int64).reshape(count, n),
        np.array(bits, np.bool_).reshape(count, n * (n + 1) // 2),
        np.array([ends[genome.ends] for genome in genomes], np.int64),
    )


class Encoding:
    """Converts between genomes of a space and arrays, whose tables are those of the space.

    Args:
        space: the search space.

    Attributes:
        attributes: (|S|, 5), for each distinct cell the index of each of its attributes among the
            space's choices, or :data:`NONE`.
        sizes: number of choices (5,) of each attribute.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        choices = (
            space.operators,
            space.channels,
            space.kernels,
            space.repeats,
            space.residuals,
        )
        self.sizes = tuple(len(values) for values in choices)
        self.attributes = np.array([_attributes(cell, choices) for cell in space.distinct_cells])
        index = {cell: i for i, cell in enumerate(space.distinct_cells)}
        self._index = index | {cell: index[cell.canonical()] for cell in space.cells}
        self._ends = {ends: i for i, ends in enumerate(space.ends)}
        self._nodes = np.array([node for node, _ in space.link_places])
        targets = np.array([target for _, target in space.link_places])
        self._into = np.eye(space.n + 1)[targets - 1]
        # The last entry of the residual's axis is for cells that have none.
        self._cell = np.full((*self.sizes[:-1], self.sizes[-1] + 1), -1)
        self._cell[tuple(self.attributes.T)] = np.arange(len(self.attributes))
        self._cell_cost = lru_cache(maxsize=2**17)(self._of_cell)
        self._end_costs = np.array(
            [
                [
                    *_line([[*upsampler_convs(ends, inputs)] for inputs in (1, 2)]),
                    stem_conv(ends).params,
                    stem_conv(ends).mult_adds,
                    ends.stem,
                ]
                for ends in space.ends
            ]
        )
        self._widths = np.array([float(cell.channels) for cell in space.distinct_cells])

    def encode(self, genomes: Sequence[Genome]) -> Networks:
        """Return genomes of the space as arrays; the table of cells has the distinct ones."""
        arrays = _arrays(genomes, self._index, self._ends)
        return Networks(self.space.distinct_cells, self.space.ends, *arrays)

    def decode(self, networks: Networks, row: int) -> Genome:
        """Return the canonical genome of one row."""
        space = self.space
        cells = [space.distinct_cells[i] for i in networks.cells[row]]
        return space.genome(cells, networks.links[row], space.ends[networks.ends[row]])

    def cell_of(self, attributes: IntArray) -> IntArray:
        """Return the indices (...) of the distinct cells with these attributes (..., 5)."""
        cells: IntArray = self._cell[tuple(np.moveaxis(attributes, -1, 0))]
        return cells

    def costs(self, networks: Networks) -> FloatArray:
        """Return parameters and mult-adds (B, 2): the integers of ``genome_cost``, as floats."""
        ends = self._end_costs[networks.ends]
        widths = np.column_stack([ends[:, -1], self._widths[networks.cells]])  # of nodes 0..n
        read = widths + (widths[:, self._nodes] * networks.links) @ self._into  # by targets 1..n+1
        pairs = networks.cells * MOST_READ + read[:, :-1].astype(np.int64)
        different, places = np.unique(pairs, return_inverse=True)
        of_cells = np.array([self._cell_cost(int(pair)) for pair in different], dtype=np.float64)
        total = of_cells[places].reshape(*pairs.shape, 2).sum(axis=1)
        total += ends[:, :2] + ends[:, 2:4] * read[:, -1:] + ends[:, 4:6]
        return np.asarray(total * [1, input_pixels(self.space.scale)])

    def _of_cell(self, pair: int) -> tuple[int, int]:
        """Return the costs of a cell with the channels that it reads: a number for both."""
        index, inputs = divmod(pair, MOST_READ)
        cell = self.space.distinct_cells[index]
        return cell_params(cell, inputs), cell_mult_adds(cell, inputs)


def _attributes(cell: Cell, choices: tuple[tuple[object, ...], ...]) -> list[int]:
    values = [cell.operator.name, cell.channels, cell.kernel, cell.repeats, cell.residual]
    indices = [
        allowed.index(value) if value in allowed else NONE
        for allowed, value in zip(choices, values, strict=True)
    ]
    return indices if cell.repeats > 1 else [*indices[:-1], NONE]


def _line(convs: list[list[Conv]]) -> list[float]:
    """Return intercepts, then slopes, of parameters and mult-adds over the input channels.

    Args:
        convs: the convolutions with one input channel and with two.
    """
    first, second = (
        np.array([sum(c.params for c in of_width), sum(c.mult_adds for c in of_width)], dtype=float)
        for of_width in convs
    )
    return [*(2 * first - second), *(second - first)]
