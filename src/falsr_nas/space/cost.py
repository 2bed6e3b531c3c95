"""Parameters and mult-adds of a genome by formula, before anything is built (paper, III and Table I).

Mult-adds are those of the convolutions alone, without biases, as in the paper. They are counted at 480x480 low-resolution input, that is
1280x720 pixels' worth of x2 output; biases count as parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from falsr_nas.space.genome import SCALE, Cell, Genome

LR_PIXELS = 480 * 480
"""Low-resolution pixels at which mult-adds are quoted."""


class Conv(NamedTuple):
    """One convolution. ``density`` is its output pixels for each low-resolution pixel."""

    inputs: int
    outputs: int
    kernel: int
    groups: int = 1
    density: int = 1

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.outputs * (self.inputs // self.groups * self.kernel**2 + 1)

    @property
    def mult_adds(self) -> int:
        """Multiply-accumulates for each low-resolution pixel."""
        return self.density * self.outputs * (self.inputs // self.groups) * self.kernel**2


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs: parameters, and mult-adds at 480x480 input."""

    params: int
    mult_adds: int


def cell_convs(cell: Cell, inputs: int) -> Iterator[Conv]:
    """The convolutions of a cell that reads ``inputs`` channels, in the order in which they run."""
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
    """A named part of a network and the convolutions it runs: ``target`` 0 is the stem, n+1 the upsampler."""

    target: int
    block: str
    reads: tuple[int, ...]
    convs: tuple[Conv, ...]


def parts(genome: Genome) -> Iterator[Part]:
    """The parts of a network, from the stem to the upsampler."""
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
    """All convolutions of a network, in the order in which they run."""
    return (conv for part in parts(genome) for conv in part.convs)


def genome_cost(genome: Genome) -> Cost:
    """Parameters and mult-adds of a network."""
    layers = list(convs(genome))
    return Cost(
        sum(conv.params for conv in layers), LR_PIXELS * sum(conv.mult_adds for conv in layers)
    )
