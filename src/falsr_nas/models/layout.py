"""What an exported model takes and gives. No torch in here; :mod:`falsr_nas.models.export` makes it so."""

from __future__ import annotations

from enum import StrEnum


class Layout(StrEnum):
    """The planes of an exported model's input and output, all in [0, 1]."""

    rgb = "rgb"
    """RGB in, RGB out, clipped; around a luma network the change of colour space and bicubic chroma are part of the model."""
    y = "y"
    """The luma plane alone (JPEG's, full range), not clipped: the network and nothing else."""
