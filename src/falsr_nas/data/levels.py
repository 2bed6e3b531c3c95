"""8-bit intensity levels: peak, luma weights, PSNR and mean squared error. Needs no torch."""

from __future__ import annotations

import math

PEAK = 255.0
"""Largest value of an 8-bit image, the peak of PSNR."""

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of R, G and B in full-range luma (ITU-R BT.601, JPEG)."""

STUDIO_RANGE = 219.0
"""8-bit levels between black and white of studio-range luma (ITU-R BT.601)."""


def psnr_from_mse(mse: float) -> float:
    """Return the PSNR in dB of a mean squared error in 8-bit levels, > 0."""
    return 10 * math.log10(PEAK**2 / mse)


def mse_from_psnr(psnr: float) -> float:
    """Return the mean squared error in 8-bit levels of a PSNR in dB."""
    return PEAK**2 / 10 ** (psnr / 10)
