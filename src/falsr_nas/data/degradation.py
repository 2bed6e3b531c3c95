"""The degradation of the benchmarks by a whole factor; at x2 exact in every bit."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor


def modcrop(image: Tensor, scale: int) -> Tensor:
    """Crop (..., H, W) to multiples of ``scale``: drops the last rows and columns."""
    height, width = image.shape[-2:]
    return image[..., : height - height % scale, : width - width % scale]


def downscale(image: Tensor, scale: int = 2) -> Tensor:
    """Degrade an HR image to its LR image, smaller by ``scale``.

    Antialiased bicubic interpolation (a = -0.5), vertically, then horizontally, each rounded half
    up to 8 bits, as MATLAB's imresize does. The border is replicated. At x2, the result is equal in
    every pixel to the LR images of Set5, Set14 and B100.

    Args:
        image: (..., scale * h, scale * w) uint8; any leading dimensions.
        scale: factor, at least 2.

    Returns:
        (..., h, w) uint8.

    Raises:
        ValueError: a side is no multiple of ``scale`` or zero (see :func:`modcrop`), or the type is
            not uint8.
    """
    height, width = image.shape[-2:]
    if height % scale or width % scale or not height or not width or image.dtype != torch.uint8:
        raise ValueError(
            f"expected uint8 (..., H, W) with sides that are multiples of {scale},"
            f" not {image.dtype} {tuple(image.shape)}"
        )
    return _shrink(_shrink(image, -2, scale), -1, scale)


@cache
def taps(scale: int) -> tuple[tuple[int, ...], int]:
    """Return the taps of the bicubic kernel stretched by ``scale``, and their sum.

    The taps are those of consecutive pixels around the centre of an output pixel, and symmetric:
    8, 11 and 16 of them at x2, x3 and x4. They are integers: the kernel's values are exact
    fractions of their sum.
    """
    count = 4 * scale - scale % 2
    weights = [_bicubic(Fraction(abs(2 * i + 1 - count), 2 * scale)) for i in range(count)]
    unit = math.lcm(*(weight.denominator for weight in weights))
    integers = [int(weight * unit) for weight in weights]
    common = math.gcd(*integers)
    return tuple(integer // common for integer in integers), sum(integers) // common


def _bicubic(t: Fraction) -> Fraction:
    """Return the value of the bicubic kernel with a = -0.5 at a distance (Keys, 1981)."""
    if t <= 1:
        return (3 * t**3 - 5 * t**2 + 2) / 2
    if t <= 2:
        return (-(t**3) + 5 * t**2 - 8 * t + 4) / 2
    return Fraction(0)


def _shrink(image: Tensor, dim: int, scale: int) -> Tensor:
    """Reduce the number of uint8 pixels along ``dim`` by ``scale``."""
    weights, one = taps(scale)
    size = image.shape[dim]
    reach = (len(weights) - scale) // 2
    border = torch.arange(-reach, size + reach, device=image.device).clamp(0, size - 1)
    padded = image.index_select(dim, border).to(torch.int32)
    total = torch.full((), one // 2, dtype=torch.int32, device=image.device)  # rounds half up
    for i in range(len(weights) // 2):
        mirrored = len(weights) - 1 - i
        ends = _every(padded, dim, i, size, scale) + _every(padded, dim, mirrored, size, scale)
        total = total + weights[i] * ends
    if len(weights) % 2:
        middle = len(weights) // 2
        total = total + weights[middle] * _every(padded, dim, middle, size, scale)
    return total.div(one, rounding_mode="floor").clamp(0, 255).to(torch.uint8)


def _every(image: Tensor, dim: int, start: int, size: int, step: int) -> Tensor:
    """Return the ``size / step`` pixels start, start + step, ... along ``dim``."""
    return image.narrow(dim, start, size - step + 1).unfold(dim, 1, step).squeeze(-1)
