"""The processor and the memory of this machine, as far as this process may use them."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
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
    """Return how many cores this process may use, by its affinity and its cgroups.

    Args:
        root: folder that holds ``proc`` and ``sys``.
    """
    cores = len(os.sched_getaffinity(0))
    limits = [*_limits("cpu", "cpu.max", root)]
    quotas = _limits("cpu", "cpu.cfs_quota_us", root), _limits("cpu", "cpu.cfs_period_us", root)
    limits += [quota + period for quota, period in zip(*quotas, strict=False)]
    shares = [math.ceil(quota / period) for quota, period in limits if 0 < quota < math.inf]
    return min([cores, *shares])


def usable_memory(root: Path = Path("/")) -> float:
    """Return the bytes of memory that this process may use; ``root`` as of :func:`usable_cores`."""
    limits = [*_limits("memory", "memory.max", root)]
    limits += _limits("memory", "memory.limit_in_bytes", root)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(limit for (limit,) in limits)])


def _limits(controller: str, name: str, root: Path) -> Iterator[list[float]]:
    """Yield the numbers in the files of a name in this process's cgroups, of both versions."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / (controller if controllers else "")
            own = top / place.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(top):
                    with suppress(OSError, ValueError):
                        words = (folder / name).read_text().split()
                        yield [math.inf if word == "max" else float(word) for word in words]
