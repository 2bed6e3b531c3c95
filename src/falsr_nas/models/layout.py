"""Inputs, outputs and numbers of exported models.

This module does not import torch, so that commands can use it in their settings.
"""

from __future__ import annotations

from enum import StrEnum


class Layout(StrEnum):
    """The planes of an exported model's input and output, with values in [0, 1]."""

    rgb = "rgb"
    """RGB in, RGB out, clipped. Around a luma network, the exported model converts between colour
    spaces and upscales chroma by bicubic interpolation."""
    y = "y"
    """The luma plane alone (JPEG's full range), not clipped: the network without anything else."""


class ExportPrecision(StrEnum):
    """The numbers that an exported model computes with."""

    fp32 = "fp32"
    """32-bit floats."""
    int8 = "int8"
    """8-bit integers where the network bears them, 32-bit floats elsewhere. ONNX only."""
