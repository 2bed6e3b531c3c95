"""Conversion between RGB and full-range YPbPr (JPEG's luma and chroma)."""

from __future__ import annotations

import torch
from torch import Tensor

from falsr_nas.data.levels import LUMA_WEIGHTS

RGB_TO_YPBPR = (LUMA_WEIGHTS, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""JPEG's conversion: a row of weights for Y, Pb and Pr each."""

YPBPR_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.34414, -0.71414), (1.0, 1.772, 0.0))
"""The inverse of :data:`RGB_TO_YPBPR`, with the five digits of the authors' script."""


def rgb_to_ypbpr(rgb: Tensor) -> Tensor:
    """Convert RGB in [0, 1] to luma in [0, 1] and chroma in [-0.5, 0.5]; both (N, 3, H, W)."""
    return _mix(rgb, RGB_TO_YPBPR)


def ypbpr_to_rgb(ypbpr: Tensor) -> Tensor:
    """Convert the output of :func:`rgb_to_ypbpr` back to RGB."""
    return _mix(ypbpr, YPBPR_TO_RGB)


def _mix(planes: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return linear combinations of the planes: (N, 3, H, W) -> (N, 3, H, W)."""
    return torch.einsum("nchw,dc->ndhw", planes, torch.tensor(matrix, dtype=planes.dtype))
