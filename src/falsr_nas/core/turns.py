"""Turns of the processes of a machine: one that times something is alone meanwhile.

The kernel releases the locks however a process ends.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def working() -> Iterator[None]:
    """Wait until no process is :func:`alone`; none becomes so while the block runs."""
    with _locked("gate", fcntl.LOCK_SH), ExitStack() as inside:
        inside.enter_context(_locked("room", fcntl.LOCK_SH))
        kept = inside.pop_all()
    with kept:
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process of this user is :func:`working` or alone, and run the block."""
    # Who waits holds the gate, so that those who work one block after another let it in.
    with _locked("gate", fcntl.LOCK_EX), _locked("room", fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(name: str, kind: int) -> Iterator[None]:
    path = Path(tempfile.gettempdir()) / f"falsr-nas-{os.getuid()}-{name}.lock"
    with path.open("a") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, kind)
        yield
