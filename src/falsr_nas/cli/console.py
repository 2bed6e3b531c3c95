"""The console of printed tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

TABLE_WIDTH = 140
"""Columns of printed tables where the output is not a terminal."""


def console() -> Console:
    """Return a console on standard output, as wide as the terminal, or TABLE_WIDTH without one."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
