"""Reuse of freed memory between the layers of a network."""

from __future__ import annotations

import ctypes

MIB = 2**20


def keep_freed_memory() -> None:
    """Have this process keep large blocks that it frees, for the next layer to use; for commands, and only where the C library is glibc.

    By default glibc returns every block above 32 MiB to the system at once, and the next layer's
    memory arrives page by page, zeroed: with large images a third of the time went there.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    most_mapped_blocks, trim_threshold = -4, -1
    mallopt(most_mapped_blocks, 0)
    mallopt(trim_threshold, 2**31 - 1)
