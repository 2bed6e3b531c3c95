"""Upscaling planes and images with a trained network: whole or in tiles, once or eight times."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from falsr_nas.errors import UserError
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.genome import SCALE

MEMORY_LIMIT = 3 * 2**30
"""Bytes that the activations of a forward pass may take by default."""

_FLOAT_BYTES = 4
_FRAGMENTATION = 2.5  # an allocator that reuses freed blocks of other sizes takes up to 2.1 times what lives (measured with glibc's)


def upscale(
    network: SuperResolver, x: Tensor, memory_limit: int = MEMORY_LIMIT, self_ensemble: bool = False
) -> Tensor:
    """Upscale planes: (N, planes, H, W) in [0, 1] -> (N, planes, 2H, 2W), not clipped.

    Args:
        network: in evaluation form.
        x: planes of the network's kind.
        memory_limit: bytes that a forward pass may take. Where the whole does not fit, it runs in
            tiles that overlap by what an output pixel can see, so that the result is the same.
        self_ensemble: average over the eight flips and rotations of the image (Lim et al., EDSR,
            2017), for eight times the work.

    Raises:
        UserError: when not even one pixel with its surroundings fits into ``memory_limit``.
    """
    height, width = x.shape[-2:]
    with torch.inference_mode():
        pieces = tiles(
            work_footprint(network, self_ensemble), height, width, memory_limit // x.shape[0]
        )
        if len(pieces) == 1:
            return forward(network, x, self_ensemble)
        output = x.new_empty(*x.shape[:2], SCALE * height, SCALE * width)
        for tile in pieces:
            output[..., *tile.target] = forward(network, x[..., *tile.source], self_ensemble)[
                ..., *tile.kept
            ]
        return output


def forward(network: SuperResolver, x: Tensor, self_ensemble: bool) -> Tensor:
    """One pass over planes that fit into memory, or the mean of eight."""
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
    """The footprint of :func:`forward`: that of the network and, between its eight passes, an input, two outputs and their sum."""
    footprint = network.footprint
    if not self_ensemble:
        return footprint
    return replace(footprint, floats=footprint.floats + network.planes * (2 + 3 * SCALE**2))


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image that is upscaled at a time; each place is a pair of slices, rows and columns.

    Attributes:
        source: what is read: low-resolution pixels, with surroundings as far as an output pixel
            can see.
        kept: what of the tile's own output does not depend on where it was cut.
        target: where that lies in the whole output.
    """

    source: tuple[slice, slice]
    kept: tuple[slice, slice]
    target: tuple[slice, slice]


def tiles(footprint: Footprint, height: int, width: int, memory_limit: int) -> list[Tile]:
    """The tiles of a low-resolution image, each fit for ``memory_limit`` bytes; one if all fits. Raises UserError if none can."""
    rows, columns = tile_size(footprint, height, width, memory_limit)
    return [
        Tile(*zip(down, across, strict=True))
        for down in _cuts(height, rows, footprint.margin)
        for across in _cuts(width, columns, footprint.margin)
    ]


def tile_bytes(footprint: Footprint, side: int = 1) -> int:
    """Bytes that a square tile takes, margins included."""
    return int(_FLOAT_BYTES * _FRAGMENTATION) * footprint.floats * side**2


def tile_size(footprint: Footprint, height: int, width: int, memory_limit: int) -> tuple[int, int]:
    """Height and width of the largest tile, margins included, that fits into ``memory_limit`` bytes; at most the image's.

    Raises:
        UserError: when a single pixel and its margins do not fit.
    """
    pixels = memory_limit // tile_bytes(footprint)
    least = 2 * footprint.margin + 1
    rows = min(height, max(math.isqrt(pixels), min(pixels // max(width, 1), height)))
    columns = min(width, pixels // max(rows, 1))
    if (rows < height and rows < least) or (columns < width and columns < least):
        need = tile_bytes(footprint, least)
        raise UserError(
            f"memory_limit is {memory_limit} bytes: this network needs at least {need}, for a tile of {least} x {least} pixels"
        )
    return rows, columns


def _cuts(length: int, tile: int, margin: int) -> list[tuple[slice, slice, slice]]:
    """Source, kept and target of the tiles along one side, all of one size, at most ``tile``.

    Of one size, because an allocator that gets the same blocks again finds room for them where
    they were, and does not grow.
    """
    if tile >= length:
        return [(slice(0, length), slice(0, SCALE * length), slice(0, SCALE * length))]
    # Each tile keeps what is a margin away from its cut sides; at the image's border, where the
    # network pads as on the whole, all.
    count = max(2, -(-(length - 2 * margin) // (tile - 2 * margin)))
    size = -(-(length + 2 * margin * (count - 1)) // count)
    starts = [(length - size) * i // (count - 1) for i in range(count)]
    edges = [0, *((start + before + size) // 2 for before, start in pairwise(starts)), length]
    return [
        (
            slice(start, start + size),
            slice(SCALE * (left - start), SCALE * (right - start)),
            slice(SCALE * left, SCALE * right),
        )
        for start, (left, right) in zip(starts, pairwise(edges), strict=True)
    ]
