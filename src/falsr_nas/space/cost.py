"""Parameters and mult-adds of a genome by formula, without building the network (paper, Table I).

Mult-adds are those of the convolutions (and of products of matrices, which operators of plug-ins
may have), without biases, at 960x960 output, which has as many pixels as 1280x720: at x2 this is
480x480 low-resolution input as in the paper, at x3 320x320, at x4 240x240. Parameters include
biases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from falsr_nas.space.cell import Cell
from falsr_nas.space.ends import Ends
from falsr_nas.space.genome import Genome
from falsr_nas.space.layers import Conv, Extra
from falsr_nas.space.operators import OPERATORS

OUTPUT_SIDE = 960
"""Side of the square output for which mult-adds are given."""


def input_side(scale: int) -> int:
    """Return the side of the square low-resolution input for which mult-adds are given."""
    return OUTPUT_SIDE // scale


def input_pixels(scale: int) -> int:
    """Return the number of low-resolution pixels for which mult-adds are given."""
    return input_side(scale) ** 2


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a network: its parameters, and its mult-adds for 960x960 output."""

    params: int
    mult_adds: int


def cell_convs(cell: Cell, inputs: int) -> Iterable[Conv]:
    """Return the convolutions of a cell with ``inputs`` input channels in execution order."""
    return OPERATORS[cell.operator.kind].convs(cell, inputs)


def cell_extra(cell: Cell, inputs: int) -> Extra:
    """Return what a cell has beside convolutions: nothing, for the paper's operators."""
    extra = OPERATORS[cell.operator.kind].extra
    return Extra() if extra is None else extra(cell, inputs)


def cell_mult_adds(cell: Cell, inputs: int) -> float:
    """Return the mult-adds of a cell per pixel on which it works."""
    convs = sum(conv.mult_adds for conv in cell_convs(cell, inputs))
    return convs + cell_extra(cell, inputs).mult_adds


def cell_params(cell: Cell, inputs: int) -> int:
    """Return the number of parameters of a cell."""
    convs = sum(conv.params for conv in cell_convs(cell, inputs))
    return convs + cell_extra(cell, inputs).params


def stem_conv(ends: Ends) -> Conv:
    """Return the convolution of the stem."""
    return Conv(1, ends.stem, 3 * ends.unshuffle, density=ends.density)


def upsampler_convs(ends: Ends, inputs: int) -> Iterator[Conv]:
    """Yield the convolutions of an upsampler with ``inputs`` input channels in execution order."""
    if not ends.merges:
        yield Conv(inputs, ends.shuffle**2, 3, density=ends.density)
        return
    yield Conv(inputs, ends.stem, 3, density=ends.density)
    yield Conv(ends.stem // ends.shuffle**2, 1, 3, density=ends.scale**2)


class Part(NamedTuple):
    """A part of a network: stem, cell block or upsampler.

    Attributes:
        target: 0 for the stem, 1..n for cell blocks, n+1 for the upsampler.
        block: name of the part.
        reads: nodes that it reads.
        convs: its convolutions in execution order.
        extra: what it has beside them.
    """

    target: int
    block: str
    reads: tuple[int, ...]
    convs: tuple[Conv, ...]
    extra: Extra = Extra()

    @property
    def params(self) -> int:
        """Number of parameters."""
        return sum(conv.params for conv in self.convs) + self.extra.params

    @property
    def mult_adds(self) -> float:
        """Multiply-add operations per low-resolution pixel."""
        return sum(conv.mult_adds for conv in self.convs) + self.extra.mult_adds


def parts(genome: Genome) -> Iterator[Part]:
    """Yield the parts of a network from the stem to the upsampler."""
    density = genome.ends.density
    yield Part(0, genome.ends.stem_name, (), (stem_conv(genome.ends),))
    for target, cell in enumerate(genome.cells, start=1):
        inputs = genome.in_channels(target)
        layers, extra = tuple(cell_convs(cell, inputs)), cell_extra(cell, inputs)
        if density != 1:
            layers = tuple(conv._replace(density=density * conv.density) for conv in layers)
            extra = extra._replace(mult_adds=density * extra.mult_adds)
        yield Part(target, cell.name, genome.inputs(target), layers, extra)
    end = genome.n + 1
    layers = tuple(upsampler_convs(genome.ends, genome.in_channels(end)))
    yield Part(end, genome.ends.label, genome.inputs(end), layers)


def convs(genome: Genome) -> Iterator[Conv]:
    """Iterate over all convolutions of a network in execution order."""
    return (conv for part in parts(genome) for conv in part.convs)


def genome_cost(genome: Genome) -> Cost:
    """Return the number of parameters and mult-adds of a network."""
    everything = list(parts(genome))
    return Cost(
        sum(part.params for part in everything),
        int(input_pixels(genome.scale) * sum(part.mult_adds for part in everything)),
    )
