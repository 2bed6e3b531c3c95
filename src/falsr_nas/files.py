"""Atomic writing of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from falsr_nas.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to the file ``path``; after an error, an older file is unchanged.

    Raises:
        UserError: the disk is full, or the folder is missing or not writable.
    """
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes ``path`` at the end of the block; after an error nothing changes.

    Raises:
        UserError: the disk is full, or the folder is missing or not writable.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w+b") as file:  # encoders may read back what they wrote
            yield file
            file.flush()
            os.fsync(file.fileno())  # a disk may report only now that it is full
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            raise UserError(
                f"cannot write {path}: {error.strerror or error}; an older file is unchanged"
            ) from error
        raise
