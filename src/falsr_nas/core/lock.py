"""Exclusive use of a folder by one process."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import make_folder, remove_drafts

MOUNTS = Path("/proc/mounts")

NETWORKED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs"} | {
    "beegfs", "gpfs", "lustre", "orangefs", "sshfs"
}  # fmt: skip
"""Kinds of file systems that several machines use at a time."""

_log = logging.getLogger(__name__)


@contextmanager
def exclusive(folder: Path, setting: str = "run_dir", lock: str = "search.lock") -> Iterator[None]:
    """Lock ``folder`` while the block runs; the kernel releases it however the process ends.

    Args:
        folder: is made if it does not exist.
        setting: that named the folder, for messages.
        lock: name of the file in the folder that is locked; it stays there.

    Raises:
        UserError: another process uses the folder (the message names it), or it is not writable.
    """
    path = folder / lock
    make_folder(folder)
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{setting} {folder} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(
                f"{setting} {folder} is in use by {holder}: wait for it to end,"
                f" or give another {setting}"
            ) from None
        except OSError:
            if has_locks(folder):
                raise
            _log.warning("%s: this file system has no locks: start no other process there", folder)
        try:
            file.truncate(0)
            os.pwrite(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError as error:
            raise UserError(f"{setting} {folder} cannot be written: {error.strerror}") from None
        if kind := network_file_system(folder, MOUNTS):
            _log.warning("%s is on %s: use it from one machine at a time", folder, kind)
        remove_drafts(folder)
        yield


def network_file_system(folder: Path, mounts: Path) -> str | None:
    """Return the kind of the network file system of a folder, e.g. nfs4; None on local disks.

    Args:
        folder: an existing folder.
        mounts: list of what is mounted, :data:`MOUNTS`. Without it, None is returned.
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    place, found = folder.resolve(), (-1, "")
    for _, where, kind, *_ in (line.split() for line in lines):
        top = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), where))
        if place.is_relative_to(top):
            found = max(found, (len(top.parts), kind), key=lambda one: one[0])
    kind = found[1]
    return kind if kind.split(".")[-1] in NETWORKED else None


def has_locks(folder: Path) -> bool:
    """Whether the file system of a folder has locks; some of clusters have none."""
    try:
        place = os.open(folder, os.O_RDONLY)
    except OSError:
        return True  # who opens files there says what is wrong
    try:
        fcntl.flock(place, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
    finally:
        os.close(place)
    return True
