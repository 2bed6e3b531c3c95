"""The names of the scoring protocols. No torch in here; :mod:`falsr_nas.benchmark.image_quality` says what they do."""

from __future__ import annotations

from enum import StrEnum


class ScoringProtocol(StrEnum):
    """How an output image is quantised and its luma scored."""

    standard = "standard"
    """Output rounded to 8 bits, luma not rounded (EDSR, RCAN and most later work)."""
    falsr = "falsr"
    """Output truncated to 8 bits, luma rounded (the FALSR authors' script)."""
