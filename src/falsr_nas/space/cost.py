"""Parameters and mult-adds of a genome by formula, without building the network (paper, Table I).

Mult-adds are those of the convolutions, without biases, at 480x480 low-resolution input as in the
paper. At x2 the output has as many pixels as one of 1280x720. Parameters include biases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from falsr_nas.space.genome import SCALE, Cell, Genome

LR_PIXELS = 480 * 480
"""Low-resolution pixels at which mult-adds are given."""


class Conv(NamedTuple):
    """One convolution.

    Attributes:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the square kernel.
        groups: groups of channels.
        density: output pixels per low-resolution pixel: 4 after the x2 upsampling, otherwise 1.
    """

    inputs: int
    outputs: int
    kernel: int
    groups: int = 1
    density: int = 1

    @property
    def params(self) -> int:
        """Number of weights and biases."""
        return self.outputs * (self.inputs // self.groups * self.kernel**2 + 1)

    @property
    def mult_adds(self) -> int:
        """Multiply-add operations per low-resolution pixel."""
        return self.density * self.outputs * (self.inputs // self.groups) * self.kernel**2


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a network: its parameters, and its mult-adds at 480x480 input."""

    params: int
    mult_adds: int


def cell_convs(cell: Cell, inputs: int) -> Iterator[Conv]:
    """Yield the convolutions of a cell with ``inputs`` input channels in execution order."""
    width, kernel = cell.channels, cell.kernel
    if cell.operator.kind == "invertBotCon":
        inner = width * cell.operator.factor
        yield Conv(inputs, width, 1)
        for _ in range(cell.repeats):
            yield Conv(width, inner, kernel)
            yield Conv(inner, inner, 3, groups=inner)
            yield Conv(inner, width, kernel)
        return
    for repeat in range(cell.repeats):
        yield Conv(width if repeat else inputs, width, kernel, cell.operator.groups)


class Part(NamedTuple):
    """A part of a network: stem, cell block or upsampler.

    Attributes:
        target: 0 for the stem, 1..n for cell blocks, n+1 for the upsampler.
        block: name of the part.
        reads: nodes that it reads.
        convs: its convolutions in execution order.
    """

    target: int
    block: str
    reads: tuple[int, ...]
    convs: tuple[Conv, ...]


def parts(genome: Genome) -> Iterator[Part]:
    """Yield the parts of a network from the stem to the upsampler."""
    yield Part(0, f"stem_f{genome.stem}", (), (Conv(1, genome.stem, 3),))
    for target, cell in enumerate(genome.cells, start=1):
        yield Part(
            target,
            cell.name,
            genome.inputs(target),
            tuple(cell_convs(cell, genome.in_channels(target))),
        )
    end = genome.n + 1
    merge, restore = (
        Conv(genome.in_channels(end), genome.stem, 3),
        Conv(genome.stem // SCALE**2, 1, 3, density=SCALE**2),
    )
    yield Part(end, "sub-pixel upsampling", genome.inputs(end), (merge, restore))


def convs(genome: Genome) -> Iterator[Conv]:
    """Iterate over all convolutions of a network in execution order."""
    return (conv for part in parts(genome) for conv in part.convs)


def genome_cost(genome: Genome) -> Cost:
    """Return the number of parameters and mult-adds of a network."""
    layers = list(convs(genome))
    return Cost(
        sum(conv.params for conv in layers), LR_PIXELS * sum(conv.mult_adds for conv in layers)
    )
