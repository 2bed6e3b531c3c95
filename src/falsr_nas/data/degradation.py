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
    return _shrink(_shrink(image.mT, scale).mT, scale)


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


def _shrink(image: Tensor, scale: int) -> Tensor:
    """Reduce the width of uint8 (..., W) by ``scale``."""
    weights, unit = taps(scale)
    width = image.shape[-1]
    reach = (len(weights) - scale) // 2
    columns = torch.arange(-reach, width + reach, device=image.device).clamp(0, width - 1)
    padded = image.index_select(-1, columns).to(torch.int32)
    total = image.new_full((*image.shape[:-1], width // scale), unit // 2, dtype=torch.int32)
    for first, weight in enumerate(weights):  # from half a unit, so that it rounds half up
        total.add_(padded[..., first : first + width - scale + 1 : scale], alpha=weight)
    return total.div(unit, rounding_mode="floor").clamp(0, 255).to(torch.uint8)
