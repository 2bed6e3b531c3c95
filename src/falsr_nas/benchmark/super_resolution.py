"""Upscaling of 8-bit RGB images as the scoring protocols define it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from falsr_nas.benchmark.image_quality import quantise
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.data.levels import PEAK
from falsr_nas.inference.color import rgb_to_ypbpr, ypbpr_to_rgb
from falsr_nas.inference.tiling import MEMORY_LIMIT, upscale
from falsr_nas.networks.bicubic import bicubic
from falsr_nas.networks.super_resolver import SuperResolver


def super_resolve(
    network: SuperResolver,
    rgb: Tensor,
    protocol: ScoringProtocol,
    memory_limit: int = MEMORY_LIMIT,
    self_ensemble: bool = False,
) -> Tensor:
    """Upscale an image under a protocol: 8-bit RGB (3, H, W) -> 8-bit RGB (3, sH, sW).

    s is the network's scale. A luma network upscales the full-range Y of the image; the two chroma
    planes are interpolated. Under ``standard`` this is bicubic interpolation of the planes. Under
    ``falsr`` it is what the authors' script does: Pillow's bicubic interpolation of the 8-bit
    image, with an offset of half a level (the script encodes chroma around 127.5 and decodes it
    around 128).

    Args:
        network: a network on luma or on RGB, in evaluation mode.
        rgb: uint8 levels.
        protocol: how chroma is interpolated and the output quantised.
        memory_limit: bytes for activations; larger images are upscaled in tiles.
        self_ensemble: average over the eight flips and rotations of the image.

    Raises:
        UserError: ``memory_limit`` is too small for the network.
    """
    levels = rgb.unsqueeze(0) / PEAK
    if network.planes == 3:
        return quantise(PEAK * upscale(network, levels, memory_limit, self_ensemble), protocol)[0]
    low = rgb_to_ypbpr(levels)
    high = upscale(network, low[:, :1], memory_limit, self_ensemble)
    if protocol == ScoringProtocol.falsr:
        chroma = (
            rgb_to_ypbpr(_pillow_bicubic(rgb, network.scale).unsqueeze(0) / PEAK)[:, 1:]
            - 0.5 / PEAK
        )
    else:
        chroma = bicubic(low[:, 1:], network.scale)
    return quantise(PEAK * ypbpr_to_rgb(torch.cat([high, chroma], dim=1)), protocol)[0]


def _pillow_bicubic(rgb: Tensor, scale: int) -> Tensor:
    """8-bit RGB (3, H, W) -> (3, sH, sW)."""
    image = Image.fromarray(rgb.permute(1, 2, 0).numpy())
    larger = image.resize((scale * image.width, scale * image.height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(larger)).permute(2, 0, 1)
