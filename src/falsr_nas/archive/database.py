"""The SQLite file of a search: durable transactions, and errors that a user understands."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import quote

from falsr_nas.archive.schema import TABLES
from falsr_nas.core.errors import UserError
from falsr_nas.core.lock import has_locks
from falsr_nas.core.plugins import explained

_PERHAPS_FULL = ("SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_FSYNC")
"""SQLite's errors for an exceeded quota or file size limit, and for a disk that fails."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

LONGEST_VALUE = 2**27
"""Most bytes of a value that is read or written; our choice, as the next."""

READ_SECONDS = 60.0
"""Longest duration of a query."""

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
                if not reads:
                    self.execute("PRAGMA journal_mode = WAL")
                    self.execute("PRAGMA synchronous = NORMAL")
                self.execute("PRAGMA busy_timeout = 60000")
                self.execute("SELECT count(*) FROM sqlite_master")
            except BaseException as error:
                self.close()
                if not (reads and isinstance(error, sqlite3.OperationalError)):
                    raise
                self._connection = _copy_in_memory(path)
            self._distrust()
            self.execute(f"PRAGMA query_only = {int(reads)}")

    def _distrust(self) -> None:
        """Refuse somebody else's file that makes SQLite read more than tables, or without end."""
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        self.execute("PRAGMA trusted_schema = OFF")
        for kind, name, page in self.rows("SELECT type, name, rootpage FROM sqlite_master"):
            if kind not in {"table", "index"} or not page:  # views, triggers, virtual tables
                raise StoreError(f"{self.path}: not a file of a search: it has a {kind} {name!r}")
        for table in TABLES:
            if any(hidden for *_, hidden in self.execute(f"PRAGMA table_xinfo({table})")):
                raise StoreError(f"{self.path}: not a file of a search: {table} has other columns")

    def read_a_copy(self) -> None:
        """Read a copy in memory from now on, which can be changed."""
        self.close()
        self._connection = _copy_in_memory(self.path)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Execute one statement. Raises errors of SQLite; see :meth:`errors_translated`."""
        return self._connection.execute(statement, values)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query, within :data:`READ_SECONDS`."""
        end = time.monotonic() + READ_SECONDS
        self._connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
        try:
            return self.execute(query).fetchall()
        finally:
            self._connection.set_progress_handler(None, 0)

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
            name = getattr(error, "sqlite_errorname", None)
            if name == "SQLITE_FULL" or (name in _PERHAPS_FULL and self._is_full()):
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

    def _is_full(self) -> bool:
        """Whether nothing can be written beside the file for want of space: try it."""
        try:
            with TemporaryFile(dir=self.path.parent) as file:
                journal = self.path.with_name(f"{self.path.name}-wal")
                os.pwrite(file.fileno(), bytes(2**16), journal.stat().st_size)
                os.fsync(file.fileno())
        except OSError as error:
            return error.errno in _FULL
        return False

    @contextmanager
    def content_errors_translated(self) -> Iterator[None]:
        """Turn errors in the block from unexpected content into a StoreError: it is damaged."""
        try:
            yield
        except StoreError:
            raise
        except (
            ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError
        ) as error:  # fmt: skip
            if explained(error):  # raised by a plug-in
                raise
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
