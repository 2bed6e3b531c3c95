"""Upscaling of planes with a trained network: whole or in tiles, with or without self-ensemble."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from falsr_nas.core.errors import UserError
from falsr_nas.inference.memory import MIB
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.super_resolver import SuperResolver

MEMORY_LIMIT = 3072 * MIB
"""Default limit of the memory for a forward pass, in bytes."""

_FLOAT_BYTES = 4
# An allocator that reuses freed blocks of other sizes takes up to 2.1 times the memory in use
# (measured with glibc).
_FRAGMENTATION = 2.5


def upscale(
    network: SuperResolver, x: Tensor, memory_limit: int = MEMORY_LIMIT, self_ensemble: bool = False
) -> Tensor:
    """Upscale planes: (N, planes, H, W) in [0, 1] -> (N, planes, sH, sW), not clipped.

    Args:
        network: in evaluation mode; s is its scale.
        x: one plane of luma or three of RGB, as the network expects.
        memory_limit: bytes that a forward pass may take. A larger image is upscaled in tiles that
            overlap by the network's margin, so that the result is the same.
        self_ensemble: average over the eight flips and rotations of the image (Lim et al., EDSR,
            2017), for eight times the work.

    Raises:
        UserError: ``memory_limit`` is too small for one pixel and its margins.
    """
    height, width = x.shape[-2:]
    with torch.inference_mode():
        footprint = work_footprint(network, self_ensemble)
        pieces = tiles(footprint, height, width, memory_limit // x.shape[0], network.scale)
        if len(pieces) == 1:
            return forward(network, x, self_ensemble)
        output = x.new_empty(*x.shape[:2], network.scale * height, network.scale * width)
        for tile in pieces:
            output[..., *tile.target] = forward(network, x[..., *tile.source], self_ensemble)[
                ..., *tile.kept
            ]
        return output


def forward(network: SuperResolver, x: Tensor, self_ensemble: bool) -> Tensor:
    """Run the network once, or average over eight views; the planes must fit into memory."""
    if not self_ensemble:
        return network(x)  # type: ignore[no-any-return]
    total = torch.zeros(())
    for turns in range(4):
        for flip in (False, True):
            view = torch.rot90(x.flip(-1) if flip else x, turns, (-2, -1))
            output = torch.rot90(network(view), -turns, (-2, -1))
            total = total + (output.flip(-1) if flip else output)
    return total / 8


def work_footprint(network: SuperResolver, self_ensemble: bool) -> Footprint:
    """Return the footprint of :func:`forward`.

    Between the eight passes of a self-ensemble an input, two outputs and their sum are in memory.
    """
    footprint = network.footprint
    if not self_ensemble:
        return footprint
    return replace(footprint, floats=footprint.floats + network.planes * (2 + 3 * network.scale**2))


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image that is upscaled in one pass; attributes are slices of rows and columns.

    Attributes:
        source: the low-resolution pixels to read, with margins as wide as an output pixel depends
            on.
        kept: the part of the tile's output that does not depend on where the image was cut.
        target: the place of that part in the whole output.
    """

    source: tuple[slice, slice]
    kept: tuple[slice, slice]
    target: tuple[slice, slice]


def tiles(
    footprint: Footprint, height: int, width: int, memory_limit: int, scale: int = 2
) -> list[Tile]:
    """Return the tiles of a low-resolution image; a single one if the whole image fits.

    A forward pass over a tile takes at most ``memory_limit`` bytes. Raises as :func:`tile_size`.
    """
    rows, columns = tile_size(footprint, height, width, memory_limit)
    return [
        Tile(*zip(down, across, strict=True))
        for down in _cuts(height, rows, footprint, scale)
        for across in _cuts(width, columns, footprint, scale)
    ]


def tile_bytes(footprint: Footprint, side: int = 1) -> int:
    """Return the bytes for a forward pass over a square tile, margins included."""
    return int(_FLOAT_BYTES * _FRAGMENTATION) * footprint.floats * side**2


def tile_size(footprint: Footprint, height: int, width: int, memory_limit: int) -> tuple[int, int]:
    """Return height and width of the largest tile that fits, margins included; at most the image's.

    Raises:
        UserError: ``memory_limit`` is too small for one pixel and its margins.
    """
    pixels = memory_limit // tile_bytes(footprint)
    min_side = 2 * footprint.margin + 3 * footprint.step - 2  # more than _cuts takes off
    rows = min(height, max(math.isqrt(pixels), min(pixels // max(width, 1), height)))
    columns = min(width, pixels // max(rows, 1))
    if (rows < height and rows < min_side) or (columns < width and columns < min_side):
        raise UserError(
            f"memory_limit is {memory_limit} bytes: this network needs at least "
            f"{tile_bytes(footprint, min_side)} bytes, for a tile of {min_side}x{min_side} pixels"
        )
    return rows, columns


def _cuts(
    length: int, tile: int, footprint: Footprint, scale: int
) -> list[tuple[slice, slice, slice]]:
    """Return source, kept and target of the tiles along one side, all at most ``tile`` long.

    All have the same size, so that the allocator reuses the same blocks and memory does not grow.
    They begin at multiples of the footprint's step, and end at such from the end.
    """
    if tile >= length:
        return [(slice(0, length), slice(0, scale * length), slice(0, scale * length))]
    # A tile keeps the pixels that are at least a margin away from its cut sides, and all pixels at
    # the border of the image, where the network pads as it does on the whole image.
    step = footprint.step
    margin, tile = footprint.margin + step - 1, tile - step + 1
    count = max(2, -(-(length - 2 * margin) // (tile - 2 * margin)))
    size = -(-(length + 2 * margin * (count - 1)) // count)
    size += (length - size) % step
    starts = [(length - size) * i // (count - 1) // step * step for i in range(count)]
    edges = [0, *((start + before + size) // 2 for before, start in pairwise(starts)), length]
    return [
        (
            slice(start, start + size),
            slice(scale * (left - start), scale * (right - start)),
            slice(scale * left, scale * right),
        )
        for start, (left, right) in zip(starts, pairwise(edges), strict=True)
    ]
