"""The processor and the memory of this machine, as far as this process may use them."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, by its affinity and the cgroups in a root."""
    limits = [*_limits(root, "cpu", "cpu.max")]
    limits += _limits(root, "cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    shares = [math.ceil(most / period) for most, period in limits if 0 < most < math.inf]
    return min([len(os.sched_getaffinity(0)), *shares])


def usable_memory(root: Path = Path("/")) -> float:
    """Return the bytes of memory that this process may use, by the cgroups in a root."""
    limits = [*_limits(root, "memory", "memory.max")]
    limits += _limits(root, "memory", "memory.limit_in_bytes")
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *chain(*limits)])


def _limits(root: Path, controller: str, *names: str) -> Iterator[list[float]]:
    """Yield the numbers in files of this process's cgroups, of both versions."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            top = root / "sys/fs/cgroup" / (controller if controllers else "")
            own = top / place.lstrip("/")
            if not controllers or controller in controllers.split(","):
                for folder in (own, *own.parents[: len(own.parts) - len(top.parts)]):
                    with suppress(OSError, ValueError):
                        words = [
                            word for name in names for word in (folder / name).read_text().split()
                        ]
                        yield [math.inf if word == "max" else float(word) for word in words]
