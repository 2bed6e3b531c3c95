"""Cores and memory are those that the process may use."""

import os
from pathlib import Path

import pytest

from falsr_nas.core.processor import usable_cores, usable_memory


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


def system(root: Path, groups: str, **files: str) -> Path:
    """A folder with the cgroups of a process and files in them."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", ".").replace("-", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu__max": "max 100000\n"}, 16),
        ("0::/a/b\n", {"a-b-cpu__max": "250000 100000\n"}, 3),
        ("0::/a/b\n", {"a-b-cpu__max": "max 100000", "a-cpu__max": "100000 100000"}, 1),
        ("0::/of/the/host\n", {"cpu__max": "200000 100000"}, 2),  # a container without a namespace
        ("0::/\n", {"cpu__max": "3200000 100000"}, 16),
        ("0::/\n", {"cpu__max": "damaged"}, 16),
        (
            "3:cpu,cpuacct:/x\n0::/\n",
            {"cpu-x-cpu__cfs_quota_us": "400000", "cpu-x-cpu__cfs_period_us": "100000"},
            4,
        ),
        (
            "3:cpu:/\n0::/\n",
            {"cpu-cpu__cfs_quota_us": "-1", "cpu-cpu__cfs_period_us": "100000"},
            16,
        ),
        ("3:cpuset:/x\n", {"cpu-x-cpu__cfs_quota_us": "100000"}, 16),
    ],
)
def test_cores_by_cgroup(groups: str, files: dict[str, str], cores: int, tmp_path: Path) -> None:
    assert usable_cores(system(tmp_path, groups, **files)) == cores


def test_cores_by_affinity_and_without_cgroups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert usable_cores(tmp_path) == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert usable_cores(tmp_path) == usable_cores() == 1


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/a\n", {"a-memory__max": str(2**29)}),
        ("4:memory:/a\n", {"memory-a-memory__limit_in_bytes": str(2**29)}),
        ("0::/a\n", {"a-memory__max": "max", "memory__max": str(2**29)}),
    ],
)
def test_memory_by_cgroup(groups: str, files: dict[str, str], tmp_path: Path) -> None:
    assert usable_memory(system(tmp_path, groups, **files)) == 2**29


def test_memory_without_a_limit_is_that_of_the_machine(tmp_path: Path) -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = {"memory-memory__limit_in_bytes": str(2**63 - 4096)}
    assert usable_memory(system(tmp_path, "4:memory:/\n", **limit)) == total
