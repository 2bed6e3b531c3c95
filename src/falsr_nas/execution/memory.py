"""Memory of processes."""

from __future__ import annotations

import os
from pathlib import Path


def resident_memory(pid: int) -> float:
    """Return the resident memory of a process in GiB; 0 if it has ended, or not on Linux."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30
