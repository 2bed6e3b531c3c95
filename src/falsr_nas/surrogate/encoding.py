"""Networks of a search space as arrays, thousands at a time, and their costs.

A genome costs tens of microseconds to build and to measure. Arrays of genes cost a hundredth of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

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
from falsr_nas.space.genome import Genome
from falsr_nas.space.layers import Conv
from falsr_nas.space.search_space import SearchSpace

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ATTRIBUTES = tuple(field.name for field in fields(Cell))
"""Attributes of a cell in the order of the columns of :attr:`Encoding.attributes`."""

NONE = -1
"""Attribute without effect: the residual of a cell of one repeat."""

MOST_READ = 2**20
"""Above the number of channels that a cell can read."""


@dataclass(frozen=True)
class Genes:
    """Networks of one space, one row each.

    Attributes:
        cells: indices (B, n) among the space's distinct cells.
        links: link bits (B, n(n+1)/2), bool.
        ends: indices (B,) among the space's pairs of ends.
    """

    cells: IntArray
    links: NDArray[np.bool_]
    ends: IntArray

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, rows: IntArray | slice) -> Genes:
        return Genes(self.cells[rows], self.links[rows], self.ends[rows])

    def rows(self) -> list[bytes]:
        """Return a text for each network; different networks have different ones."""
        together = np.column_stack([self.cells, self.ends, self.links]).astype(np.uint16)
        return [row.tobytes() for row in together]

    def same_as(self, other: Genes) -> NDArray[np.bool_]:
        """Return whether each network is that of the same row of ``other`` (B,)."""
        equal = (self.cells == other.cells).all(axis=1) & (self.links == other.links).all(axis=1)
        return np.asarray(equal & (self.ends == other.ends))


class Encoding:
    """Converts between genomes of a space and their genes.

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
        self.sizes = tuple(len(one) for one in choices)
        self.attributes = np.array([_attributes(cell, choices) for cell in space.distinct_cells])
        self._index = {cell: i for i, cell in enumerate(space.distinct_cells)}
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
                    *_line([[*upsampler_convs(ends, one)] for one in (1, 2)]),
                    stem_conv(ends).params,
                    stem_conv(ends).mult_adds,
                    ends.stem,
                ]
                for ends in space.ends
            ]
        )
        self._widths = np.array([float(cell.channels) for cell in space.distinct_cells])

    def encode(self, genomes: Sequence[Genome]) -> Genes:
        """Return the genes of genomes of the space."""
        bits = [
            [node in genome.links[target - 2] for node, target in self.space.link_places]
            for genome in genomes
        ]
        return Genes(
            np.array([[self._index[cell.canonical()] for cell in one.cells] for one in genomes]),
            np.array(bits, dtype=bool),
            np.array([self._ends[one.ends] for one in genomes]),
        )

    def decode(self, genes: Genes, row: int) -> Genome:
        """Return the canonical genome of one row."""
        space = self.space
        cells = [space.distinct_cells[i] for i in genes.cells[row]]
        return space.genome(cells, genes.links[row], space.ends[genes.ends[row]])

    def cell_of(self, attributes: IntArray) -> IntArray:
        """Return the indices (...) of the distinct cells with these attributes (..., 5)."""
        cells: IntArray = self._cell[tuple(np.moveaxis(attributes, -1, 0))]
        return cells

    def costs(self, genes: Genes) -> FloatArray:
        """Return parameters and mult-adds (B, 2): the integers of ``genome_cost``, as floats."""
        ends = self._end_costs[genes.ends]
        widths = np.column_stack([ends[:, -1], self._widths[genes.cells]])  # of nodes 0..n
        read = widths + (widths[:, self._nodes] * genes.links) @ self._into  # by targets 1..n+1
        pairs = genes.cells * MOST_READ + read[:, :-1].astype(np.int64)
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
        one.index(value) if value in one else NONE
        for one, value in zip(choices, values, strict=True)
    ]
    return indices if cell.repeats > 1 else [*indices[:-1], NONE]


def _line(convs: list[list[Conv]]) -> list[float]:
    """Return intercepts, then slopes, of parameters and mult-adds over the input channels.

    Args:
        convs: the convolutions with one input channel and with two.
    """
    first, second = (
        np.array([sum(c.params for c in one), sum(c.mult_adds for c in one)], dtype=float)
        for one in convs
    )
    return [*(2 * first - second), *(second - first)]
