"""The x2 degradation of the benchmarks, to the bit."""

from __future__ import annotations

import torch
from torch import Tensor

# Bicubic with a = -0.5, stretched by 2 against aliasing: the kernel at the distances 0.25, 0.75,
# 1.25 and 1.75 from the output pixel's centre, halved. Exact in 256ths, so integers reproduce it;
# the kernel is symmetric, so four numbers say all eight.
TAPS = (111, 29, -9, -3)
ONE = 256


def crop_even(image: Tensor) -> Tensor:
    """(..., H, W) without its last row where H is odd, and without its last column where W is odd."""
    height, width = image.shape[-2:]
    return image[..., : height - height % 2, : width - width % 2]


def downscale(image: Tensor) -> Tensor:
    """The LR image of an HR image: antialiased bicubic (a = -0.5), height first, then width, rounded half up to 8 bits after each.

    The border is replicated. Equal in every pixel to the LR images of Set5, Set14 and B100.

    Args:
        image: (..., 2h, 2w) uint8; channels and batches lead.

    Returns:
        (..., h, w) uint8.

    Raises:
        ValueError: when a side is odd or zero (see :func:`crop_even`), or the type is not uint8.
    """
    height, width = image.shape[-2:]
    if height % 2 or width % 2 or not height or not width or image.dtype != torch.uint8:
        raise ValueError(
            f"expected uint8 (..., H, W) with even sides, not {image.dtype} {tuple(image.shape)}"
        )
    return _halve(_halve(image, -2), -1)


def _halve(image: Tensor, dim: int) -> Tensor:
    """One pass: half as many uint8 pixels along ``dim``."""
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
    """The pixels start, start + 2, ... along ``dim``: size / 2 of them."""
    return image.narrow(dim, start, size - 1).unfold(dim, 1, 2).squeeze(-1)
