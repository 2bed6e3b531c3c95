"""Inputs, outputs and numbers of exported models.

This module does not import torch, so that commands can use it in their settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from falsr_nas.core.errors import UserError

RUNTIMES: Mapping[str, str] = {
    ".onnx": "onnxruntime",
    ".param": "ncnn",
    ".pt2": "torch.export",
    ".pt": "TorchScript",
    ".torchscript": "TorchScript",
    ".glsl": "mpv",
}
"""What runs the exported models, by the suffix of the file."""


class ExportError(UserError):
    """A model that cannot be exported; the message names the reason."""


def runtime_of(path: Path) -> str:
    """Return the name of what runs an exported model. Raises ExportError for another suffix."""
    try:
        return RUNTIMES[path.suffix]
    except KeyError:
        known = ", ".join(RUNTIMES)
        raise ExportError(f"{path}: models are exported as {known}") from None


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
