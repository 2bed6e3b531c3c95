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
    return tuple(tuple(node for node in genome.inputs(target) if node and last[node] == target) for target in range(1, genome.n + 1))


def footprint(genome: Genome) -> Footprint:
    """The footprint of :class:`~falsr_nas.networks.network.Network`, from its convolutions and the order in which they run.

    Every convolution also counts a copy of its input and of its output, which the CPU's kernels may reorder.
    """
    reach = [1]  # of each node: the stem is a 3 x 3 convolution
    held = genome.stem + 1
    floats = 2 * held
    for target, (cell, done) in enumerate(zip(genome.cells, released(genome), strict=True), start=1):
        inputs = genome.inputs(target)
        reach.append(max(reach[node] for node in inputs) + _reach(cell))
        joined = genome.in_channels(target)
        before = held + (joined if len(inputs) > 1 else 0)
        floats = max(floats, before + max(_cell_floats(cell), joined + 2 * cell.channels))
        held += cell.channels - sum(genome.node_channels(node) for node in done)
    joined = genome.in_channels(genome.n + 1)
    merging = held + (joined if len(genome.inputs(genome.n + 1)) > 1 else 0) + joined + 2 * genome.stem
    shuffling = held + 4 * genome.stem  # sum, reordered, shuffled, and the last convolution's copy
    margin = max(reach[node] for node in genome.inputs(genome.n + 1)) + 2  # the last convolution sees one pixel, the HR one less
    return Footprint(margin, max(floats, merging, shuffling))


def _reach(cell: Cell) -> int:
    if cell.operator.kind == "invertBotCon":
        return cell.repeats * (2 * (cell.kernel // 2) + 1)  # expand, depthwise 3 x 3, project
    return cell.repeats * (cell.kernel // 2)


def _cell_floats(cell: Cell) -> int:
    """Numbers alive inside a cell, its input aside."""
    width = cell.channels
    kept = width if cell.residual and cell.repeats > 1 else 0
    if cell.operator.kind == "invertBotCon":
        return kept + width + 4 * width * cell.operator.factor  # block input; depthwise input and output, and copies of both
    return kept + 4 * width  # layer input and output, and copies of both
