"""The x2 degradation of the benchmarks, exact in every bit."""

from __future__ import annotations

import torch
from torch import Tensor

# Bicubic with a = -0.5, stretched by 2 against aliasing: half the kernel's values at distances
# 0.25, 0.75, 1.25 and 1.75 from the centre of the output pixel. They are exact in 256ths, so that
# integers reproduce them. The kernel is symmetric: four numbers describe its eight taps.
TAPS = (111, 29, -9, -3)
ONE = 256


def crop_even(image: Tensor) -> Tensor:
    """Crop (..., H, W) to even sides: drops the last row or column of an odd side."""
    height, width = image.shape[-2:]
    return image[..., : height - height % 2, : width - width % 2]


def downscale(image: Tensor) -> Tensor:
    """Degrade an HR image to its LR image of half the size.

    Antialiased bicubic interpolation (a = -0.5), vertically, then horizontally, each rounded half
    up to 8 bits. The border is replicated. The result is equal in every pixel to the LR images of
    Set5, Set14 and B100.

    Args:
        image: (..., 2h, 2w) uint8; any leading dimensions.

    Returns:
        (..., h, w) uint8.

    Raises:
        ValueError: a side is odd or zero (see :func:`crop_even`), or the type is not uint8.
    """
    height, width = image.shape[-2:]
    if height % 2 or width % 2 or not height or not width or image.dtype != torch.uint8:
        raise ValueError(
            f"expected uint8 (..., H, W) with even sides, not {image.dtype} {tuple(image.shape)}"
        )
    return _halve(_halve(image, -2), -1)


def _halve(image: Tensor, dim: int) -> Tensor:
    """Halve the number of uint8 pixels along ``dim``."""
    size = image.shape[dim]
    reach = len(TAPS) - 1
    border = torch.arange(-reach, size + reach, device=image.device).clamp(0, size - 1)
    padded = image.index_select(dim, border).to(torch.int32)
    total = torch.full((), ONE // 2, dtype=torch.int32, device=image.device)  # rounds half up
    for distance, tap in enumerate(TAPS):
        before = _every_second(padded, dim, reach - distance, size)
        after = _every_second(padded, dim, reach + distance + 1, size)
        total = total + tap * (before + after)
    return (total >> 8).clamp(0, 255).to(torch.uint8)


def _every_second(image: Tensor, dim: int, start: int, size: int) -> Tensor:
    """Return the ``size / 2`` pixels start, start + 2, ... along ``dim``."""
    return image.narrow(dim, start, size - 1).unfold(dim, 1, 2).squeeze(-1)
