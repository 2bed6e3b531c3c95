"""How much memory a process holds."""

from __future__ import annotations

import os
from pathlib import Path


def resident(pid: int) -> float:
    """Resident memory of a process of this machine, as ``top`` shows it, in GiB; 0 where it is gone, or this is no Linux."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30
