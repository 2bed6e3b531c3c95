"""Photographs with transparency, as integers or floats, and their upscaling by a network.

Each tile is converted from integers to floats and back, so that beside the two images only one
tile is in memory as floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from falsr_nas.core.errors import UserError
from falsr_nas.inference.color import rgb_to_ypbpr, ypbpr_to_rgb
from falsr_nas.inference.memory import MIB
from falsr_nas.inference.tiling import forward, tile_bytes, tiles, work_footprint
from falsr_nas.networks.bicubic import bicubic
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.photo.metadata import Metadata

Pixels: TypeAlias = NDArray[Any]  # uint8, uint16 or floats

_PROCESS_MEMORY = 400 * MIB  # Python, PyTorch, Pillow and a network's weights; measured
# Numbers per output pixel of a tile to convert colours: planes at both sizes, as floats.
_COLOUR_FLOATS = 25
_BICUBIC_MARGIN = 2
# Minimum width of a tile in margins: smaller ones take more than four times the work; our choice.
_MIN_TILE_MARGINS = 4
_SPREAD = 8  # pixels that visible colours are spread into transparent areas; our choice


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """An image in its upright orientation.

    Attributes:
        pixels: (H, W, channels) uint8 or uint16, or floats in 0..1, which files never have; the
            channels are grey, grey and alpha, RGB, or RGB and alpha.
        metadata: what its file carries besides.
    """

    pixels: Pixels
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def bits(self) -> int:
        """Bits per channel, 8 or 16; 16, 32 or 64 of floats."""
        return 8 * self.pixels.itemsize


def upscale_photograph(
    network: SuperResolver,
    photograph: Photograph,
    memory: int,
    self_ensemble: bool = False,
    on_tile: Callable[[float], None] = lambda share: None,
) -> Photograph:
    """Upscale a photograph by the network's scale, with the same channels and bits.

    Colours are those of :func:`falsr_nas.benchmark.super_resolve` under the ``standard`` protocol:
    a luma network upscales the full-range Y, and the chroma is interpolated. Alpha is interpolated,
    too. Colours of invisible pixels do not affect visible ones.

    Args:
        network: in evaluation mode.
        photograph: of any size.
        memory: bytes that the whole process may use until the result is saved.
        self_ensemble: average over the eight flips and rotations of each tile.
        on_tile: called after each tile with its share of the image, in 0..1.

    Raises:
        UserError: ``memory`` is too small; the message says how much is needed.
    """
    pixels = photograph.pixels
    height, width, channels = pixels.shape
    footprint = _footprint(network, photograph.alpha, self_ensemble)
    scale = network.scale
    memory_for_tiles = _memory_for_tiles(footprint, photograph, memory, scale)
    pieces = tiles(footprint, height, width, memory_for_tiles, scale)
    output = np.empty((scale * height, scale * width, channels), pixels.dtype)
    with torch.inference_mode():
        for tile in pieces:
            upscaled = _upscale_tile(network, pixels[tile.source], self_ensemble)
            output[tile.target] = upscaled[tile.kept]
            rows, columns = tile.target
            area = (rows.stop - rows.start) * (columns.stop - columns.start)
            on_tile(area / (scale**2 * height * width))
    return replace(photograph, pixels=output)


def _upscale_tile(network: SuperResolver, pixels: Pixels, self_ensemble: bool) -> Pixels:
    """Upscale the pixels of a tile: (h, w, channels) -> (sh, sw, channels)."""
    peak = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    levels = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / peak
    count = 3 if levels.shape[1] > 2 else 1
    colours, alpha = levels[:, :count], levels[:, count:]
    has_alpha = alpha.shape[1] > 0
    visible = _spread_colours(colours, alpha) if has_alpha else colours
    output = _upscale_colours(network, visible, self_ensemble)
    if has_alpha:
        output = torch.cat([output, bicubic(alpha, network.scale)], dim=1)
    output.mul_(peak).clamp_(0, peak)
    if peak > 1:
        output.round_()
    return output[0].permute(1, 2, 0).numpy().astype(pixels.dtype)


def _upscale_colours(network: SuperResolver, colours: Tensor, self_ensemble: bool) -> Tensor:
    """Upscale grey or RGB planes in [0, 1] with a luma or RGB network: (1, C, h, w), C of 1 or 3.

    Returns:
        (1, C, sh, sw), not clipped; s is the network's scale.
    """
    if colours.shape[1] == network.planes:
        return forward(network, colours, self_ensemble)
    if network.planes == 3:
        return rgb_to_ypbpr(forward(network, colours.expand(-1, 3, -1, -1), self_ensemble))[:, :1]
    planes = rgb_to_ypbpr(colours)
    luma = forward(network, planes[:, :1], self_ensemble)
    return ypbpr_to_rgb(torch.cat([luma, bicubic(planes[:, 1:], network.scale)], dim=1))


def _spread_colours(colours: Tensor, alpha: Tensor) -> Tensor:
    """Spread visible colours into transparent areas, so that hidden colours do not affect edges.

    Args:
        colours: (1, C, h, w).
        alpha: (1, 1, h, w); pixels with alpha above 0 are visible.

    Returns:
        (1, C, h, w).
    """
    known = (alpha > 0).float()
    if known.all():
        return colours
    for _ in range(_SPREAD):
        around = avg_pool2d(known, 3, stride=1, padding=1)
        mean = avg_pool2d(colours * known, 3, stride=1, padding=1) / around
        new = (known == 0) & (around > 0)
        colours = torch.where(new, mean, colours)
        known = known + new
    return colours


def _footprint(network: SuperResolver, alpha: bool, self_ensemble: bool) -> Footprint:
    """Return the footprint of a tile of a photograph, conversion of colours included."""
    work = work_footprint(network, self_ensemble)
    margin = max(work.margin, _BICUBIC_MARGIN) + (_SPREAD if alpha else 0)
    return replace(work, margin=margin, floats=work.floats + _COLOUR_FLOATS * network.scale**2)


def check_memory(
    network: SuperResolver, photograph: Photograph, memory: int, self_ensemble: bool = False
) -> None:
    """Raise UserError if ``memory`` bytes are too few to upscale a photograph without alpha."""
    footprint = _footprint(network, alpha=False, self_ensemble=self_ensemble)
    _memory_for_tiles(footprint, photograph, memory, network.scale)


def _memory_for_tiles(footprint: Footprint, photograph: Photograph, memory: int, scale: int) -> int:
    """Return the bytes of ``memory`` that the process and the two images leave for tiles."""
    pixels = photograph.pixels
    height, width, channels = pixels.shape
    result = scale**2 * pixels.nbytes
    images = _PROCESS_MEMORY + pixels.nbytes + result
    side = min(_MIN_TILE_MARGINS * footprint.margin + 1, max(height, width))
    # To encode 8 bits, Pillow copies the image with 1 or 4 bytes per pixel.
    copied = (1 if channels == 1 else 4) if photograph.bits == 8 else 0
    encoding = _PROCESS_MEMORY + result + scale**2 * height * width * copied
    needed = max(images + tile_bytes(footprint, side), encoding)
    if memory < needed:
        raise UserError(
            f"an image of {width}x{height} pixels needs {-(-needed // MIB)} MiB with this network: "
            f"memory_limit is {memory // MIB}"
        )
    return memory - images
