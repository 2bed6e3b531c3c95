"""Photographs as people have them, with transparency, 8 or 16 bits and what belongs to them, and how a network upscales them.

The work goes tile by tile from whole numbers to whole numbers, so that beside the two images only
a tile is ever held as floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from falsr_nas.errors import UserError
from falsr_nas.inference.color import rgb_to_ypbpr, ypbpr_to_rgb
from falsr_nas.inference.memory import MIB
from falsr_nas.inference.tiling import forward, tile_bytes, tiles, work_footprint
from falsr_nas.networks.baselines import bicubic
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.genome import SCALE

Pixels: TypeAlias = NDArray[np.unsignedinteger[Any]]

_PROCESS = 400 * MIB  # Python, PyTorch and its kernels, Pillow and a network's weights; measured
_COLOUR_FLOATS = 100  # for each low-resolution pixel of a tile: planes at both sizes, on their way from and to whole numbers
_BICUBIC_MARGIN = 2
_LEAST_TILE = 4  # margins that a tile is wide at least: smaller ones would make more than four times the work; our choice
_COVER = 8  # pixels that colour is carried into what is transparent; our choice


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """An image, upright.

    Attributes:
        pixels: (H, W, channels) uint8 or uint16; the channels are grey, grey and alpha, RGB, or
            RGB and alpha.
        profile: the ICC profile that says what the colours are, or None.
        exif: what the camera noted, without the orientation, or None.
    """

    pixels: Pixels
    profile: bytes | None = None
    exif: Image.Exif | None = None

    @property
    def channels(self) -> int:
        """1 to 4."""
        return int(self.pixels.shape[2])

    @property
    def alpha(self) -> bool:
        """Whether the last channel is transparency."""
        return self.channels in (2, 4)

    @property
    def bits(self) -> int:
        """Bits a channel, 8 or 16."""
        return 8 * self.pixels.itemsize


def upscale_photograph(
    network: SuperResolver,
    photograph: Photograph,
    memory: int,
    self_ensemble: bool = False,
    on_tile: Callable[[float], None] = lambda share: None,
) -> Photograph:
    """The photograph at twice its size, in the same kind of pixels.

    Colours come out as :func:`falsr_nas.benchmark.super_resolve` has them under ``standard``: a
    luma network gets the full-range Y and the chroma is interpolated. Transparency is
    interpolated, too. Colours of invisible pixels do not show at the edges of what is visible.

    Args:
        network: in evaluation form.
        photograph: at any size.
        memory: bytes that the whole process may take, until the result is saved.
        self_ensemble: average over eight views of each tile.
        on_tile: called after each tile with the share of the image that it was.

    Raises:
        UserError: when ``memory`` is too little; the message says how much would do.
    """
    pixels = photograph.pixels
    height, width, channels = pixels.shape
    footprint = _footprint(network, photograph.alpha, self_ensemble)
    pieces = tiles(footprint, height, width, _memory_for_tiles(footprint, photograph, memory))
    output = np.empty((SCALE * height, SCALE * width, channels), pixels.dtype)
    with torch.inference_mode():
        for tile in pieces:
            upscaled = _upscale_tile(network, pixels[tile.source], self_ensemble)
            output[tile.target] = upscaled[tile.kept]
            rows, columns = tile.target
            on_tile(
                (rows.stop - rows.start)
                * (columns.stop - columns.start)
                / (SCALE**2 * height * width)
            )
    return replace(photograph, pixels=output)


def _upscale_tile(network: SuperResolver, pixels: Pixels, self_ensemble: bool) -> Pixels:
    """(h, w, channels) -> (2h, 2w, channels)."""
    peak = np.iinfo(pixels.dtype).max
    levels = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / peak
    opaque = 3 if levels.shape[1] > 2 else 1
    colours, alpha = levels[:, :opaque], levels[:, opaque:]
    if alpha.shape[1]:
        output = torch.cat(
            [_upscale_colours(network, _cover(colours, alpha), self_ensemble), bicubic(alpha)],
            dim=1,
        )
    else:
        output = _upscale_colours(network, colours, self_ensemble)
    whole = output.mul_(peak).clamp_(0, peak).round_()[0].permute(1, 2, 0).numpy()
    return whole.astype(pixels.dtype)


def _upscale_colours(network: SuperResolver, colours: Tensor, self_ensemble: bool) -> Tensor:
    """Grey (1, 1, h, w) or RGB (1, 3, h, w) in [0, 1] by a network of either kind -> the same at twice the size."""
    if colours.shape[1] == network.planes:
        return forward(network, colours, self_ensemble)
    if network.planes == 3:
        return rgb_to_ypbpr(forward(network, colours.expand(-1, 3, -1, -1), self_ensemble))[:, :1]
    planes = rgb_to_ypbpr(colours)
    return ypbpr_to_rgb(
        torch.cat([forward(network, planes[:, :1], self_ensemble), bicubic(planes[:, 1:])], dim=1)
    )


def _cover(colours: Tensor, alpha: Tensor) -> Tensor:
    """Carry the colours of what is visible some pixels into what is not, so that no other colour bleeds into the edges."""
    known = (alpha > 0).float()
    if known.all():
        return colours
    for _ in range(_COVER):
        around = avg_pool2d(known, 3, stride=1, padding=1)
        mean = avg_pool2d(colours * known, 3, stride=1, padding=1) / around
        new = (known == 0) & (around > 0)
        colours = torch.where(new, mean, colours)
        known = known + new
    return colours


def _footprint(network: SuperResolver, alpha: bool, self_ensemble: bool) -> Footprint:
    """How far an output pixel of a photograph sees, and what a tile of one needs."""
    work = work_footprint(network, self_ensemble)
    margin = max(work.margin, _BICUBIC_MARGIN) + (_COVER if alpha else 0)
    return Footprint(margin, work.floats + _COLOUR_FLOATS)


def _memory_for_tiles(footprint: Footprint, photograph: Photograph, memory: int) -> int:
    """What the process and the two images leave of ``memory``."""
    pixels = photograph.pixels
    height, width, channels = pixels.shape
    result = SCALE**2 * pixels.nbytes
    images = _PROCESS + pixels.nbytes + result
    tile = tile_bytes(footprint, min(_LEAST_TILE * footprint.margin + 1, max(height, width)))
    encoder_copy = (
        SCALE**2 * height * width * (1 if channels == 1 else 4) if photograph.bits == 8 else 0
    )  # Pillow's
    need = max(images + tile, _PROCESS + result + encoder_copy)
    if memory < need:
        raise UserError(
            f"an image of {width}x{height} pixels needs {-(-need // MIB)} MiB with this network: memory_limit is {memory // MIB}"
        )
    return memory - images
