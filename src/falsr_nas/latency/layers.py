"""The layers that a runtime executes for a network: convolutions and what is between them.

Layers of one :class:`Family` differ only in their channels. A space has thousands of layers, since
a cell reads any nodes, but few families.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from falsr_nas.space.cost import cell_convs, parts, upsampler_convs
from falsr_nas.space.ends import Ends
from falsr_nas.space.genome import Genome
from falsr_nas.space.layers import Conv
from falsr_nas.space.search_space import SearchSpace

Kind = Literal["conv", "concat", "add", "shuffle"]

WIDTHS = 5
"""Numbers of input channels by which the first convolutions of cells are sampled; our choice."""

_NAME = re.compile(
    r"(conv|concat|add|shuffle)"
    r" outputs=(\d{1,6}) kernel=(\d{1,4}) groups=(\d{1,6}) density=(\d{1,4})"
)


class Family(NamedTuple):
    """Layers that differ only in their input channels.

    Attributes:
        kind: convolution with ReLU, concatenation, addition or sub-pixel shuffle.
        outputs: output channels of a convolution, else 0.
        kernel: side of a convolution's kernel, factor of a shuffle, else 0.
        groups: groups of a convolution, else 1.
        density: output pixels per low-resolution pixel; of a shuffle its input pixels.
    """

    kind: Kind
    outputs: int = 0
    kernel: int = 0
    groups: int = 1
    density: int = 1

    @property
    def name(self) -> str:
        """Its name in profiles: ``conv outputs=64 kernel=3 groups=1 density=1``."""
        return (
            f"{self.kind} outputs={self.outputs} kernel={self.kernel} groups={self.groups}"
            f" density={self.density}"
        )

    @classmethod
    def parse(cls, name: str) -> Family:
        """Return the family of a name. Raises ValueError for another text."""
        if (match := _NAME.fullmatch(name)) is None:
            raise ValueError(f"{name!r} is not a layer")
        kind: Any = match[1]
        return cls(kind, *map(int, match.groups()[1:]))


class Layer(NamedTuple):
    """One layer.

    Attributes:
        family: all but its input channels.
        channels: input channels; of a concatenation those of all its inputs.
    """

    family: Family
    channels: int

    @property
    def group(self) -> str:
        """The name of layers that are alike: one of :data:`GROUPS`."""
        family = self.family
        if family.kind != "conv":
            return family.kind
        if family.groups > 1:
            return "depthwise" if family.groups == self.channels else "grouped"
        return "pointwise" if family.kernel == 1 else "conv"

    @property
    def traffic(self) -> int:
        """Numbers that it reads and writes per low-resolution pixel, but for weights."""
        family = self.family
        if family.kind == "conv":
            return family.density * (self.channels + family.outputs)
        return family.density * self.channels * (3 if family.kind == "add" else 2)


GROUPS = ("conv", "pointwise", "grouped", "depthwise", "concat", "add", "shuffle")


def layers(genome: Genome) -> Iterator[Layer]:
    """Yield the layers of a network in execution order."""
    for part in parts(genome):
        if len(part.reads) > 1:
            yield Layer(Family("concat"), part.convs[0].inputs)
        yield from map(_conv, part.convs if part.target <= genome.n else ())
        if 1 <= part.target <= genome.n:
            cell = genome.cells[part.target - 1]
            bottlenecks = cell.repeats if cell.operator.kind == "invertBotCon" else 0
            yield from [Layer(Family("add"), cell.channels)] * (bottlenecks + cell.has_residual)
        elif part.target > genome.n:
            yield from _upsampler(genome.ends, part.convs)


def layers_of_space(space: SearchSpace) -> dict[Family, tuple[int, ...]]:
    """Return all families of a space, each with the input channels to measure, ascending.

    The first convolutions of cells and upsamplers, concatenations too, have any sum of widths as
    input channels: WIDTHS of them, from the least to the most, stand for all.
    """
    found: defaultdict[Family, set[int]] = defaultdict(set)
    for cell in space.distinct_cells:
        for inputs in _widths(space, space.n - 1, cell.operator.groups):
            for conv in cell_convs(cell, inputs):
                layer = _conv(conv)
                found[layer.family].add(layer.channels)
        if cell.has_residual or cell.operator.kind == "invertBotCon":
            found[Family("add")].add(cell.channels)
    for ends in space.ends:
        found[Family("conv", ends.stem, 3)].add(1)
        for inputs in _widths(space, space.n, 1):
            for layer in _upsampler(ends, tuple(upsampler_convs(ends, inputs))):
                found[layer.family].add(layer.channels)
    if space.links:
        found[Family("concat")] |= set(_widths(space, space.n, 2))
    return {family: tuple(sorted(channels)) for family, channels in sorted(found.items())}


def _conv(conv: Conv) -> Layer:
    return Layer(Family("conv", conv.outputs, conv.kernel, conv.groups, conv.density), conv.inputs)


def _upsampler(ends: Ends, convs: Iterable[Conv]) -> Iterator[Layer]:
    """Yield the layers of an upsampler with these convolutions: a shuffle follows the first."""
    first, *others = convs
    yield _conv(first)
    if ends.skips(first.inputs):
        yield Layer(Family("add"), ends.stem)
    yield Layer(Family("shuffle", kernel=ends.scale), first.outputs)
    yield from map(_conv, others)


def _widths(space: SearchSpace, nodes: int, groups: int) -> list[int]:
    """Return up to WIDTHS sums of the widths of the stem and up to ``nodes`` cells, on a log scale.

    All are divisible by ``groups``. Multiples of 16 are preferred: most runtimes process channels
    in blocks of up to 16. Without links these are the widths themselves.
    """
    widths = {*space.channels, *(ends.stem for ends in space.ends)}
    if not space.links:
        return sorted(width for width in widths if width % groups == 0)
    least, most = min(widths), max(ends.stem for ends in space.ends) + nodes * max(space.channels)
    step = math.lcm(math.gcd(*widths), groups)
    found = set()
    for i in range(WIDTHS):
        wanted = least * (most / least) ** (i / (WIDTHS - 1))
        block = math.lcm(16, step) if wanted >= math.lcm(16, step) else step
        found.add(max(step, round(wanted / block) * block))
    return sorted(found)
