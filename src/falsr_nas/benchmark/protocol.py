"""Names of the scoring protocols, which :mod:`falsr_nas.benchmark.image_quality` implements.

This module does not import torch, so that commands can use it in their settings.
"""

from __future__ import annotations

from enum import StrEnum


class ScoringProtocol(StrEnum):
    """How output images are converted to 8 bits, and how their luma is compared."""

    standard = "standard"
    """Output rounded to 8 bits, luma not rounded (EDSR, RCAN and most later work)."""
    falsr = "falsr"
    """Output truncated to 8 bits, luma rounded (the FALSR authors' script)."""
