"""What execution can be told. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutionSettings:
    """One evaluation at a time, in the search's own process."""
