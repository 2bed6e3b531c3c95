"""Memory units, limits, and reuse of freed memory between the layers of a network."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def limited_memory(size: int) -> Iterator[None]:
    """Let this process take at most ``size`` bytes of memory more than it has, in this block.

    Beyond that its allocations fail. On other systems than Linux nothing is limited.
    """
    soft, hard = limits = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except OSError:
        yield
        return
    most = pages * os.sysconf("SC_PAGE_SIZE") + size
    most = most if soft == resource.RLIM_INFINITY else min(most, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
