"""Memory units, and reuse of freed memory between the layers of a network."""

from __future__ import annotations

import ctypes

MIB = 2**20
"""Bytes per mebibyte."""


def keep_freed_memory() -> None:
    """Make this process keep large freed blocks of memory, for the next layer to use.

    By default glibc returns every block above 32 MiB to the system immediately, and the next
    layer's memory arrives page by page, zeroed: with large images that takes a third of the time.
    The setting lasts as long as the process, so only commands call this. It does nothing with
    other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    m_mmap_max, m_trim_threshold = -4, -1
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)
