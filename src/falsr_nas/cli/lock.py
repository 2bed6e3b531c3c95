"""A folder that one search at a time may use."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from falsr_nas.errors import UserError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for as long as the block runs; the kernel lets go of it however the process dies.

    Raises:
        UserError: another process holds it (the message says which), or it cannot be written.
    """
    path = folder / "search.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"run_dir {folder} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(
                f"run_dir {folder} is in use by {holder}: wait for it to end, or give another run_dir"
            ) from None
        try:
            file.truncate(0)
            os.pwrite(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError as error:
            raise UserError(f"run_dir {folder} cannot be written: {error.strerror}") from None
        yield
