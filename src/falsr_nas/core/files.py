"""Writing of files: folders are made, and files are complete or not there."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from falsr_nas.core.errors import UserError


def make_folder(folder: Path) -> None:
    """Make a folder and the folders above it, where they do not exist.

    Raises:
        UserError: a file is in the way, or the place is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_folder(folder, error) from error


def cache_folder() -> Path:
    """Return the user's folder for what may be lost; it need not exist."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(folder).expanduser() / "falsr_nas"


def no_folder(folder: Path, error: OSError) -> UserError:
    """Return the error for a folder that cannot be made; it names a file that is in the way."""
    reason = error.strerror or str(error)
    for part in (folder, *folder.parents):
        if part.is_file():
            reason = f"{part} is a file"
    return UserError(f"cannot make the folder {folder}: {reason}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to the file ``path``; after an error, an older file is unchanged.

    The folder is made if it does not exist.

    Raises:
        UserError: the disk is full, or the folder cannot be made or is not writable.
    """
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes ``path`` at the end of the block; after an error nothing changes.

    The folder is made if it does not exist. The user's own links are followed. Devices and pipes
    are written to.

    Raises:
        UserError: the disk is full, or the folder cannot be made or is not writable.
    """
    is_device = path.exists() and not (path.is_file() or path.is_dir())
    if path.is_symlink() and not is_device and path.lstat().st_uid == os.geteuid():  # one's own
        path = path.resolve()
    make_folder(path.parent)
    # A name that nobody can guess and no longer than any other: a file or link of this name that is
    # there, perhaps made by somebody else who may write to the folder, is not opened.
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # encoders may read what they wrote
    try:
        with BytesIO() if is_device else os.fdopen(os.open(draft, flags, 0o666), "w+b") as file:
            yield file
            file.flush()
            if not is_device:
                os.fsync(file.fileno())  # a disk may report only now that it is full
                draft.replace(path)
                _sync_folder(path.parent)
            elif isinstance(file, BytesIO):
                path.write_bytes(file.getvalue())
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            raise UserError(
                f"cannot write {path}: {error.strerror or error}; an older file is unchanged"
            ) from error
        raise


def remove_drafts(folder: Path) -> None:
    """Remove what a killed process left of unfinished files in a folder and those in it."""
    for draft in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
        if re.fullmatch(r"\.[0-9a-f]{16}\.tmp", draft.name):
            with suppress(OSError):
                draft.unlink()


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
