"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from falsr_nas.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` in the file ``path``; whatever goes wrong, an older file there stays as it was.

    Raises:
        UserError: the disk is full, or the folder is missing or cannot be written; the message says which.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a disk may say only now that it is full
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}; what was there is untouched") from error
