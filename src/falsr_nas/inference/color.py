"""Conversion between RGB and full-range YPbPr (JPEG's luma and chroma)."""

from __future__ import annotations

import torch
from torch import Tensor

RGB_TO_YPBPR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""JPEG's luma and chroma, all in full range, a row each."""

YPBPR_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.34414, -0.71414), (1.0, 1.772, 0.0))
"""JPEG's way back; with five digits, as the authors' script has it."""


def rgb_to_ypbpr(rgb: Tensor) -> Tensor:
    """Full-range luma and chroma: (N, 3, H, W) in [0, 1] -> (N, 3, H, W), chroma in [-0.5, 0.5]."""
    return _mix(rgb, RGB_TO_YPBPR)


def ypbpr_to_rgb(ypbpr: Tensor) -> Tensor:
    """The way back."""
    return _mix(ypbpr, YPBPR_TO_RGB)


def _mix(planes: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """A linear change of colour space: (N, 3, H, W) -> (N, 3, H, W)."""
    return torch.einsum("nchw,dc->ndhw", planes, torch.tensor(matrix, dtype=planes.dtype))
