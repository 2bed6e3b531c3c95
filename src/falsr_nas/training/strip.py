"""Strips of validation images: interpolation, network and original side by side, for loggers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

IMAGES = 3
"""Largest number of images in a strip, one per row."""

SIDE = 96
"""Side in pixels of the part of an image that is shown: the centre."""

Strip = NDArray[np.uint8]
"""Luma (rows * SIDE, 3 * SIDE): interpolated, upscaled by the network, original."""


def strip(low: Tensor, output: Tensor, high: Tensor) -> Strip:
    """Return the strip of the first images of a validation batch.

    Args:
        low: luma (N, 1, h, w) in [0, 1].
        output: the network's, (N, 1, sh, sw), not clipped.
        high: the originals, (N, 1, sh, sw) in [0, 1].
    """
    size = (high.shape[-2], high.shape[-1])
    smooth = interpolate(low[:IMAGES], size=size, mode="bicubic", align_corners=False)
    columns = [_centres(planes[:IMAGES]) for planes in (smooth, output, high)]
    return np.concatenate(columns, axis=2).reshape(-1, 3 * SIDE)


def _centres(planes: Tensor) -> Strip:
    """Return the centres of planes (N, 1, H, W) as (N, SIDE, SIDE); smaller ones lie on black."""
    height, width = planes.shape[-2:]
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    levels = (planes[:, 0, top : top + SIDE, left : left + SIDE].float().clamp(0, 1) * 255).round()
    found = np.zeros((len(planes), SIDE, SIDE), dtype=np.uint8)
    found[:, : levels.shape[-2], : levels.shape[-1]] = levels.cpu().numpy()
    return found
