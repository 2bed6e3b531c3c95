"""Constant memory over hundreds of trainings in one process.

Three things would make it grow. Lightning's objects refer to each other in circles, which Python's
garbage collector finds late in a process with hundreds of thousands of objects; oneDNN keeps the
compiled kernels of every shape it has seen; and glibc keeps freed pages.
"""

from __future__ import annotations

import ctypes
import gc
import os

KERNELS = 256
"""Number of oneDNN kernels to keep: enough for one step of the largest networks. Its default is
1024."""


def limit_growth() -> None:
    """Prepare a process before its first training, so that later collections are fast."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    gc.collect()
    gc.freeze()


def free_memory() -> None:
    """Free what a training left, and return the pages to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
