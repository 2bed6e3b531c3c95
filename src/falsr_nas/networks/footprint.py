"""How far an output pixel sees and what a forward pass keeps in memory, as tiled inference needs to know it. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.space.genome import Cell, Genome


@dataclass(frozen=True, slots=True)
class Footprint:
    """What an output pixel depends on, and what a forward pass without gradients needs.

    Attributes:
        margin: low-resolution pixels on each side of its own that can change an output pixel.
        floats: the most numbers alive at one time, for each low-resolution pixel.
    """

    margin: int
    floats: int


def released(genome: Genome) -> tuple[tuple[int, ...], ...]:
    """For each target 1..n the nodes that nothing after it reads. Node 0 stays: the global skip reads it last."""
    last = {node: target for target in range(1, genome.n + 2) for node in genome.inputs(target)}
    return tuple(
        tuple(node for node in genome.inputs(target) if node and last[node] == target)
        for target in range(1, genome.n + 1)
    )


def footprint(genome: Genome) -> Footprint:
    """The footprint of :class:`~falsr_nas.networks.network.Network`, from its convolutions and the order in which they run."""
    reach = [1]  # of each node: the stem is a 3 x 3 convolution
    held = genome.stem + 1  # nodes and the input
    floats = held
    for target, (cell, done) in enumerate(
        zip(genome.cells, released(genome), strict=True), start=1
    ):
        reach.append(max(reach[node] for node in genome.inputs(target)) + _reach(cell))
        floats = max(floats, held + _joined(genome, target) + _cell_floats(cell))
        held += cell.channels - sum(genome.node_channels(node) for node in done)
    last = genome.n + 1
    floats = max(
        floats, held + _joined(genome, last) + genome.stem, held + 3 * genome.stem
    )  # the sum, reordered, shuffled
    margin = (
        max(reach[node] for node in genome.inputs(last)) + 2
    )  # the last two convolutions; of the one at HR a pixel is half of one
    return Footprint(margin, floats)


def _joined(genome: Genome, target: int) -> int:
    """Channels of what is concatenated for a target; a single node is read where it lies."""
    return genome.in_channels(target) if len(genome.inputs(target)) > 1 else 0


def _reach(cell: Cell) -> int:
    if cell.operator.kind == "invertBotCon":
        return cell.repeats * (2 * (cell.kernel // 2) + 1)  # expand, depthwise 3 x 3, project
    return cell.repeats * (cell.kernel // 2)


def _cell_floats(cell: Cell) -> int:
    """The most numbers alive inside a cell, its input aside."""
    width = cell.channels
    if cell.operator.kind == "invertBotCon":
        inner = width * cell.operator.factor
        first = width if cell.repeats > 1 else 0
        return first + max(
            width + 2 * inner, 3 * width + inner
        )  # input and output of the depthwise layer; the block's sum
    if cell.repeats == 1:
        return width
    return (
        3 if cell.repeats > 2 or cell.residual else 2
    ) * width  # the first layer's output, a later one's input and output
