"""Receptive field and memory of networks, for inference in tiles. This module needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.space.genome import Genome
from falsr_nas.space.operators import OPERATORS


@dataclass(frozen=True, slots=True)
class Footprint:
    """The receptive field of a network, and the memory of a forward pass without gradients.

    Attributes:
        margin: how far away an input pixel can be to affect an output pixel, in low-resolution
            pixels.
        floats: the most numbers in memory at one time, per low-resolution pixel.
        step: where an image may be cut: at multiples of it from all of its sides.
    """

    margin: int
    floats: int
    step: int = 1


def released(genome: Genome) -> tuple[tuple[int, ...], ...]:
    """Return, for each target 1..n, the nodes that no later target reads.

    Node 0 is not among them where the global skip connection reads it at the end.
    """
    kept = {0} if genome.has_global_skip else set()
    last = {node: target for target in range(1, genome.n + 2) for node in genome.inputs(target)}
    return tuple(
        tuple(node for node in genome.inputs(target) if node not in kept and last[node] == target)
        for target in range(1, genome.n + 1)
    )


def footprint(genome: Genome) -> Footprint:
    """Return the footprint of a genome's :class:`~falsr_nas.networks.network.Network`."""
    # In pixels on which the layers work, of which each is a square of ``step`` of the image.
    step = genome.ends.unshuffle
    reach = [1]  # of each node; the stem is a 3x3 convolution
    held = genome.stem + step**2  # channels of the nodes in memory, and of the input
    floats = held + (step**2 if step > 1 else 0)  # its padded copy
    for target, (cell, done) in enumerate(
        zip(genome.cells, released(genome), strict=True), start=1
    ):
        kind = OPERATORS[cell.operator.kind]
        reach.append(max(reach[node] for node in genome.inputs(target)) + kind.cell_reach(cell))
        floats = max(floats, held + _joined(genome, target) + kind.cell_floats(cell))
        held += cell.channels - sum(genome.node_channels(node) for node in done)
    last = genome.n + 1
    # The upsampler's convolution adds a pixel. One after a shuffle adds half a pixel of the image
    # or less: rounded up, another one.
    margin = step * (max(reach[node] for node in genome.inputs(last)) + 1) + step - 1
    margin += genome.ends.merges
    end = held + max(_upsampler_floats(genome, _joined(genome, last)))
    return Footprint(margin, -(-max(floats, end) // step**2), step)


def _upsampler_floats(genome: Genome, joined: int) -> tuple[int, ...]:
    """Numbers per pixel in memory at the steps of an upsampler, without nodes."""
    ends = genome.ends
    if not ends.merges:
        added = ends.stem if genome.has_global_skip else 0  # the sum with node 0
        # The sum and the convolution; the shuffle.
        return joined + added, max(joined, added) + ends.shuffle**2, 2 * ends.shuffle**2
    merged = joined + ends.stem
    shuffled = 3 * ends.stem  # the sum with node 0, permuted, shuffled
    return merged, shuffled


def _joined(genome: Genome, target: int) -> int:
    """Channels of a target's concatenated input, or 0: a single node is not copied."""
    return genome.in_channels(target) if len(genome.inputs(target)) > 1 else 0
