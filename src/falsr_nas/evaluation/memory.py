"""Hundreds of trainings in one process without growing: what each leaves behind is given back before the next.

Three things grew it. Lightning's objects refer to each other in circles, which Python finds late where it has hundreds of thousands of
objects to look through; oneDNN keeps the compiled kernels of every shape that it has seen; and glibc keeps freed pages.
"""

from __future__ import annotations

import ctypes
import gc
import os

KERNELS = 256
"""oneDNN's kernels that are kept: what a step of the largest networks needs without compiling any twice; its default is 1024."""


def prepare_to_stay_flat() -> None:
    """Before the first training of a process: later collections need not look at what is there already."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """After a training: free what it left, and return the pages to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
