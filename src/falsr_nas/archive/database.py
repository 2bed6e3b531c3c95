"""The SQLite file of a search: durable transactions, and errors that a user understands."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from falsr_nas.core.errors import UserError
from falsr_nas.core.lock import has_locks

_DISK_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_FSYNC")
"""SQLite's errors for a full disk, an exceeded quota or an exceeded file size limit."""

MERGE_SECONDS = 1.0
"""A write is followed by a merge of the journal unless one was made within this time before.

Trainings take longer. What a power failure may lose was written within a second after a merge."""

MAX_WAIT_SECONDS = 60.0
"""Maximum time between two attempts to write to a full disk."""

_log = logging.getLogger(__name__)


class StoreError(UserError):
    """The file of a search cannot be read or written; the message says why and what to do."""


class DiskFullError(StoreError):
    """The disk is full: nothing was written, and everything written before is intact."""


def wait_for_disk_space(error: DiskFullError, retries: int) -> None:
    """Wait before a write is repeated: one second, doubled with each retry, at most a minute.

    The first call logs that the search waits.
    """
    if retries == 0:
        _log.warning("%s. The search waits until there is space", error)
    time.sleep(min(2.0**retries, MAX_WAIT_SECONDS))


class Database:
    """An open SQLite file, which other processes may read meanwhile.

    Args:
        path: the file. SQLite creates it if it does not exist.
        reads: whether the file is only read; it may then be in a folder that cannot be written.
        on_full: called when the disk is full, with the error and the number of retries so far; when
            it returns, the write is retried. Without it the error is raised.

    Raises:
        StoreError: the file is damaged or not one of SQLite, or the disk is full.
    """

    def __init__(
        self,
        path: Path,
        on_full: Callable[[DiskFullError, int], None] | None = None,
        *,
        reads: bool = False,
    ) -> None:
        self.path = path
        self._on_full = on_full
        self._merged = 0.0
        with self.errors_translated():
            locks = has_locks(path.parent)
            self._connection = _connect(path, "" if locks else "?nolock=1")
            try:
                if not locks:  # nor shared memory
                    self.execute("PRAGMA locking_mode = EXCLUSIVE")
                # WAL with NORMAL loses nothing if the process is killed, and after a power failure
                # what was written since the last merge.
                self.execute("PRAGMA journal_mode = WAL")
                self.execute("PRAGMA synchronous = NORMAL")
                self.execute("PRAGMA busy_timeout = 60000")
                self.execute("SELECT count(*) FROM sqlite_master")
            except BaseException as error:
                self.close()
                if not (reads and isinstance(error, sqlite3.OperationalError)):
                    raise
                self._connection = _copy_in_memory(path)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Execute one statement. Raises errors of SQLite; see :meth:`errors_translated`."""
        return self._connection.execute(statement, values)

    def write(self, action: Callable[[], None]) -> None:
        """Run ``action`` in a transaction; if the disk is full, retry when ``on_full`` returns.

        Raises:
            StoreError: nothing was written.
        """
        retries = 0
        while True:
            try:
                with self.errors_translated(), self.transaction():
                    action()
                break
            except DiskFullError as error:
                if self._on_full is None:
                    raise
                self._on_full(error, retries)
                retries += 1
        if time.monotonic() - self._merged >= MERGE_SECONDS:
            with suppress(DiskFullError):  # what is written is in the journal
                self.merge()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is written in the block, or nothing if the block raises."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite has rolled back when the disk is full
                self.execute("ROLLBACK")
            raise

    def merge(self) -> None:
        """Merge SQLite's journal into the file: a copy of the file alone has all, on the disk.

        What another process reads meanwhile is merged later.
        """
        with self.errors_translated():
            self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._merged = time.monotonic()

    def close(self) -> None:
        """Merge SQLite's journal into the file and close it."""
        self._connection.close()

    @contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Turn errors of SQLite in the block into a StoreError."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", None) in _DISK_FULL:
                raise DiskFullError(
                    f"{self.path}: the disk is full or your quota is exceeded ({error})."
                    " Finished evaluations are stored"
                ) from error
            signs = ("not a database", "malformed", "no such")
            if any(sign in str(error) for sign in signs):
                raise StoreError(
                    f"{self.path}: not a file of a search, or damaged ({error})."
                    " Give another run_dir"
                ) from error
            raise StoreError(f"{self.path}: {error}") from error
        except UnicodeDecodeError as error:  # raised where SQLite quotes a damaged schema
            raise StoreError(
                f"{self.path}: not a file of a search, or damaged. Give another run_dir"
            ) from error

    @contextmanager
    def content_errors_translated(self) -> Iterator[None]:
        """Turn errors in the block from unexpected content into a StoreError: it is damaged."""
        try:
            yield
        except StoreError:
            raise
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise StoreError(
                f"{self.path}: not a file of a search, or damaged"
                f" ({type(error).__name__}: {error}). Give another run_dir"
            ) from error


def _connect(path: Path, options: str) -> sqlite3.Connection:
    address = f"file:{quote(os.fsencode(path.absolute()))}{options}"
    return sqlite3.connect(address, uri=True, isolation_level=None)


def _copy_in_memory(path: Path) -> sqlite3.Connection:
    """Copy a file that SQLite cannot open as usual, because it or its folder may only be read."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with closing(_connect(path, "?mode=ro")) as file:  # where another process has it open
            file.backup(copy)
    except sqlite3.OperationalError:
        with closing(_connect(path, "?immutable=1")) as file:
            file.backup(copy)
    return copy
