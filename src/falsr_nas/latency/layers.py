"""The layers that a runtime executes for a network: convolutions and what is between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from falsr_nas.space.cost import parts
from falsr_nas.space.ends import Ends
from falsr_nas.space.genome import Genome
from falsr_nas.space.layers import Conv

GROUPS = ("conv", "pointwise", "grouped", "depthwise", "concat", "add", "shuffle")
"""Kinds of layers that are alike in time."""

BLOCK = 16
"""Channels that most runtimes process together: 4 output channels take the time of 16."""


class Layer(NamedTuple):
    """One layer.

    Attributes:
        group: one of :data:`GROUPS`.
        inputs: input channels; of a concatenation those of all its inputs.
        outputs: output channels of a convolution, otherwise the inputs.
        kernel: side of a convolution's kernel, else 0.
        groups: groups of a convolution, else 1.
        density: output pixels per low-resolution pixel; of a shuffle its input pixels.
    """

    group: str
    inputs: int
    outputs: int
    kernel: int = 0
    groups: int = 1
    density: float = 1

    def mult_adds(self, block: int = 1) -> float:
        """Mult-adds per low-resolution pixel, with channels rounded up to multiples of a block."""
        inputs = _rounded(self.inputs // self.groups, 1 if self.groups > 1 else block)
        return self.density * self.kernel**2 * inputs * _rounded(self.outputs, block)

    def traffic(self, block: int = 1) -> float:
        """Numbers that it reads and writes per low-resolution pixel, but for weights."""
        inputs = _rounded(self.inputs, block) * (2 if self.group == "add" else 1)
        return self.density * (inputs + _rounded(self.outputs, block))


def layers(genome: Genome) -> Iterator[Layer]:
    """Yield the layers of a network in execution order."""
    for part in parts(genome):
        if len(part.reads) > 1:
            yield _same("concat", part.convs[0].inputs, part.convs[0].density)
        yield from map(_conv, part.convs if part.target <= genome.n else ())
        if 1 <= part.target <= genome.n:
            cell = genome.cells[part.target - 1]
            bottlenecks = cell.repeats if cell.operator.kind == "invertBotCon" else 0
            add = _same("add", cell.channels, part.convs[0].density)
            yield from [add] * (bottlenecks + cell.has_residual)
        elif part.target > genome.n:
            yield from _upsampler(genome.ends, part.convs)


def _conv(conv: Conv) -> Layer:
    if conv.groups > 1:
        group = "depthwise" if conv.groups == conv.inputs else "grouped"
    else:
        group = "pointwise" if conv.kernel == 1 else "conv"
    return Layer(group, conv.inputs, conv.outputs, conv.kernel, conv.groups, conv.density)


def _same(group: str, channels: int, density: float) -> Layer:
    return Layer(group, channels, channels, density=density)


def _upsampler(ends: Ends, convs: Iterable[Conv]) -> Iterator[Layer]:
    """Yield the layers of an upsampler with these convolutions: a shuffle follows the first."""
    first, *others = map(_conv, convs)
    yield first
    if ends.skips(first.inputs):
        yield _same("add", ends.stem, first.density)
    yield _same("shuffle", first.outputs, first.density)
    yield from others


def _rounded(channels: int, block: int) -> int:
    return -(-channels // block) * block
