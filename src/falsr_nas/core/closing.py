"""The base of what is closed at the end of a ``with`` block."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """A context manager that is itself what the block gets, and is closed when the block ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_after(error)

    def close_after(self, error: BaseException | None) -> None:
        """Close at the end of a block that this error ended, if any."""
        self.close()

    def close(self) -> None:
        """Release what is held."""
