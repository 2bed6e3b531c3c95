"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from falsr_nas.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` in the file ``path``; whatever goes wrong, an older file there stays as it was.

    Raises:
        UserError: the disk is full, or the folder is missing or cannot be written; the message says which.
    """
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which becomes ``path`` when the block ends well; else an older file there stays as it was.

    Raises:
        UserError: the disk is full, or the folder is missing or cannot be written; the message says which.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w+b") as file:  # encoders may read back what they wrote
            yield file
            file.flush()
            os.fsync(file.fileno())  # a disk may say only now that it is full
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            raise UserError(
                f"cannot write {path}: {error.strerror or error}; what was there is untouched"
            ) from error
        raise
