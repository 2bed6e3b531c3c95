"""Disks that fail, and machines that lose power, under real searches and trainings."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands import run
from falsr_nas.archive.store import Store
from falsr_nas.networks.checkpoint import read_checkpoint
from test_unlucky_users import BRIEF, SEARCH

# Writes to files of the journal fail once the folder has a file "dying".
FAILING_WRITES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
ssize_t pwrite64(int file, const void *from, size_t size, off_t place) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length > 4 && !strncmp(name + length - 4, "-wal", 4) && !access("dying", F_OK)) {
        errno = EIO;
        return -1;
    }
    return real(file, from, size, place);
}
"""


@pytest.fixture
def failing_writes(tmp_path: Path) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is installed")
    source, library = tmp_path / "failing.c", tmp_path / "failing.so"
    source.write_text(FAILING_WRITES)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def test_a_dying_disk_ends_a_search_in_one_line(failing_writes: Path, tmp_path: Path) -> None:
    search = (*SEARCH, "evaluator.seconds=0.02", "candidates=200", "run_dir=run")
    command = [sys.executable, "-m", *search]
    env = {**os.environ, "LD_PRELOAD": str(failing_writes)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while stored(tmp_path / "run/search.db") < 20:
        assert time.monotonic() < until and process.poll() is None, process.communicate()
        time.sleep(0.05)
    (tmp_path / "dying").touch()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert told.splitlines()[-1].startswith("error: ") and "disk I/O error" in told
    assert "Traceback" not in told and "waits" not in told
    (tmp_path / "dying").unlink()
    kept = stored(tmp_path / "run/search.db")
    assert kept >= 20
    done = run(*search, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert stored(tmp_path / "run/search.db") == 200


def stored(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with Store(path) as store:
            return store.count()
    except Exception:  # its tables are not made yet
        return 0


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return the image of an empty file system."""
    image = tmp_path / "disk.img"
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    with image.open("wb") as file:
        file.truncate(128 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    try:
        with mounted(image, tmp_path / "tried"):
            pass
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a loop device cannot be mounted here: {error.stderr!r}")
    return image


def cut(disk: Path, number: int, process: subprocess.Popen[bytes]) -> Path:
    """Return a copy of a disk that is in use: what a loss of power now would leave."""
    copy = disk.with_name(f"cut{number}.img")
    process.send_signal(signal.SIGSTOP)  # the copy takes a while: nothing may change meanwhile
    shutil.copy(disk, copy)
    process.send_signal(signal.SIGCONT)
    return copy


@pytest.mark.slow
def test_a_training_survives_losses_of_power(disk: Path, tmp_path: Path) -> None:
    recipe = (*BRIEF, "training.epochs=200", "output=out")
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run(*recipe, folder=whole).returncode == 0
    cuts = []
    with mounted(disk, tmp_path / "disk") as place:
        process = subprocess.Popen([sys.executable, "-m", *recipe], cwd=place)
        while not list(place.glob("out/*/last.ckpt")):
            time.sleep(0.05)
        while len(cuts) < 6 and process.poll() is None:
            cuts.append(cut(disk, len(cuts), process))
            time.sleep(0.3)
        process.kill()
        process.wait()
    assert len(cuts) == 6
    for image in cuts:
        with mounted(image, tmp_path / "cut") as place:
            [checkpoint] = place.glob("out/[0-9a-f]*/last.ckpt")
            assert read_checkpoint(checkpoint)["training"]["position"] > 0
            done = run(*recipe, folder=place)
            assert done.returncode == 0, done.stderr
            found, expected = (
                (folder / "out/best/model.safetensors").read_bytes() for folder in (place, whole)
            )
            assert found == expected


@pytest.mark.slow
def test_a_search_survives_losses_of_power(disk: Path, tmp_path: Path) -> None:
    search = (*SEARCH, "evaluator.seconds=0.02", "candidates=300", "run_dir=run")
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run(*search, folder=whole).returncode == 0
    cuts, counts = [], []
    with mounted(disk, tmp_path / "disk") as place:
        process = subprocess.Popen([sys.executable, "-m", *search], cwd=place)
        while stored(place / "run/search.db") < 100:
            time.sleep(0.05)
        while len(cuts) < 4 and process.poll() is None:
            counts.append(stored(place / "run/search.db"))
            time.sleep(2.5)  # what was stored before the last second is on the disk
            cuts.append(cut(disk, len(cuts), process))
        process.kill()
        process.wait()
    front = fronts(whole)
    for image, count in zip(cuts, counts, strict=True):
        with mounted(image, tmp_path / "cut") as place:
            assert stored(place / "run/search.db") >= count
            done = run(*search, folder=place)
            assert done.returncode == 0, done.stderr
            assert fronts(place) == front


def fronts(folder: Path) -> list[dict[str, str]]:
    with (folder / "run/pareto.csv").open() as file:
        return list(csv.DictReader(file))
