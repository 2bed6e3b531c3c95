"""The search's memory on disk: one SQLite file that any kill leaves whole.

Evaluations are written the moment they end, failed attempts the moment they fail, and the
controller's state together with the mark that it was told these evaluations. So whatever instant
the process dies at, the file holds a state and all that was finished after it.
"""

from __future__ import annotations

import gc
import json
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from falsr_nas.archive.candidate import (
    AttemptOutcome,
    Candidate,
    Evaluation,
    FailedAttempt,
    Failure,
    FailureKind,
    Origin,
    Score,
)
from falsr_nas.cli.renamed import brought_up_to_date, with_current_names
from falsr_nas.errors import UserError
from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE evaluations (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, genome TEXT NOT NULL, generation INTEGER NOT NULL,
    params INTEGER NOT NULL, mult_adds INTEGER NOT NULL,
    mse REAL, psnr REAL, seconds REAL, failure TEXT,
    operators TEXT NOT NULL, parents TEXT NOT NULL, log_prob REAL,
    told INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX untold ON evaluations (told) WHERE told = 0;
CREATE TABLE failures (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, key TEXT NOT NULL,
    kind TEXT NOT NULL, message TEXT NOT NULL, traceback TEXT NOT NULL, place TEXT NOT NULL, fate TEXT NOT NULL
)
"""

_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_FSYNC")
"""What SQLite says to a full disk, to an exceeded quota or file size, and to a disk that finds out late."""

_FAILURE = "kind, message, traceback, place"


class StoreError(UserError):
    """The search's file cannot be read or written; the message says why and what to do."""


class DiskFullError(StoreError):
    """There is no room for what was to be kept; all that was kept before is there."""


MOST_SECONDS_BETWEEN_TRIES = 60.0

_log = logging.getLogger(__name__)


def wait_for_room(error: DiskFullError, tries: int) -> None:
    """Say that the search waits, and do so: a second at first, then twice as long each time, a minute at most."""
    if tries == 0:
        _log.warning("%s. The search waits until there is room", error)
    time.sleep(min(2.0**tries, MOST_SECONDS_BETWEEN_TRIES))


class Store:
    """The evaluations and the controller's state of one search.

    Args:
        path: the file; made where it is missing.
        config: the resolved settings that make this search what it is, flattened. A file made with
            others is refused.
        on_full: called when there is no room for a write, with the error and how often that was
            tried again already; when it returns, the write is tried again. Without it the error is
            raised.

    Raises:
        StoreError: the file is not a search's, is damaged, belongs to another configuration (the
            message names what differs), or the disk is full.
    """

    def __init__(
        self,
        path: Path,
        config: dict[str, Any] | None = None,
        on_full: Callable[[DiskFullError, int], None] | None = None,
    ) -> None:
        self.path = path
        self._on_full = on_full
        self._read: dict[
            int, Evaluation
        ] = {}  # parsed once: a large search asks for all of them many times
        if config is None and not path.exists():  # SQLite would make it
            raise StoreError(f"{path}: there is no such file")
        with self._plain_errors():
            self._db = sqlite3.connect(path, isolation_level=None)
            try:
                # WAL with NORMAL loses nothing when the process dies; when the machine loses
                # power, at most the last evaluations.
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute("PRAGMA busy_timeout = 60000")
                self._open(config)
            except BaseException:
                self._db.close()  # a file that is refused is let go at once
                raise

    def _open(self, config: dict[str, Any] | None) -> None:
        text = None if config is None else json.dumps(config, sort_keys=True)
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            if text is None:
                raise StoreError(f"{self.path}: there is no search in this file")
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                rows = [("version", str(SCHEMA_VERSION)), ("config", text)]
                self._db.executemany("INSERT INTO about VALUES (?, ?)", rows)
            return
        with self._whole_rows():
            about = dict(self._db.execute("SELECT name, value FROM about"))
            found = brought_up_to_date(dict(json.loads(about["config"])), config or {})
        if about.get("version") != str(SCHEMA_VERSION):
            raise StoreError(
                f"{self.path}: made by another version of falsr_nas (format {about.get('version')}, this one reads {SCHEMA_VERSION})"
            )
        if config is not None and found != json.loads(text or ""):
            raise StoreError(_difference(self.path, found, config))

    @property
    def config(self) -> dict[str, Any]:
        """The settings that the search was begun with, flattened."""
        with self._plain_errors(), self._whole_rows():
            row = self._db.execute("SELECT value FROM about WHERE name = 'config'").fetchone()
            return with_current_names(dict(json.loads(row[0])))

    def add(self, evaluation: Evaluation) -> None:
        """Keep an evaluation that has just ended, durable when this returns. One of the same number is replaced.

        Its outcome is kept; failures of earlier attempts are what :meth:`add_failure` kept of them.
        """
        self._write(lambda: self._insert(evaluation))

    def add_failure(self, attempt: FailedAttempt) -> None:
        """Keep a failed attempt that is no evaluation's outcome, durable when this returns."""
        self._write(
            lambda: self._insert_failure(
                attempt.number, attempt.key, attempt.failure, attempt.outcome
            )
        )

    def commit_state(self, state: dict[str, Any], evaluations: Iterable[Evaluation] = ()) -> None:
        """Keep a state and, in the same transaction, these evaluations, and that the controller was told all that are kept so far."""
        kept, text = list(evaluations), json.dumps(state)

        def write() -> None:
            for evaluation in kept:
                self._insert(evaluation)
            self._db.execute("UPDATE evaluations SET told = 1 WHERE told = 0")
            self._db.execute("INSERT OR REPLACE INTO about VALUES ('state', ?)", (text,))

        self._write(write)

    def state(self) -> dict[str, Any] | None:
        """The controller's last state, or None before the first."""
        with self._plain_errors(), self._whole_rows():
            row = self._db.execute("SELECT value FROM about WHERE name = 'state'").fetchone()
            return None if row is None else dict(json.loads(row[0]))

    def evaluations(self, *, told: bool | None = None) -> list[Evaluation]:
        """All evaluations by number; ``told`` picks those the controller had, or had not, been told at its last state."""
        where = "" if told is None else f"WHERE told = {int(told)}"
        with self._plain_errors(), self._whole_rows(), _no_collection():
            rows = self._db.execute(f"SELECT * FROM evaluations {where} ORDER BY number").fetchall()
            failures = (
                self._failures_by_number()
            )  # after the rows, whose failures are then there even while another process writes
            return [
                self._read.get(row[0]) or self._parse(row, failures.get(row[0], ())) for row in rows
            ]

    def failures(self) -> list[FailedAttempt]:
        """All failed attempts, by the candidate's number, in the order in which they failed."""
        with self._plain_errors(), self._whole_rows():
            rows = self._db.execute(
                f"SELECT number, key, fate, {_FAILURE} FROM failures ORDER BY number, id"
            ).fetchall()
            found: list[FailedAttempt] = []
            for number, key, outcome, *failure in rows:
                attempt = found[-1].attempt + 1 if found and found[-1].number == number else 1
                found.append(
                    FailedAttempt(number, key, attempt, _failure(*failure), AttemptOutcome(outcome))
                )
            return found

    def count(self) -> int:
        """How many evaluations are kept."""
        with self._plain_errors():
            return int(self._db.execute("SELECT count(*) FROM evaluations").fetchone()[0])

    def close(self) -> None:
        """Fold the journal into the one file and let it go."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _insert(self, evaluation: Evaluation) -> None:
        candidate, outcome = evaluation.candidate, evaluation.outcome
        self._read.pop(candidate.number, None)
        score = outcome if isinstance(outcome, Score) else None
        failure = outcome if isinstance(outcome, Failure) else None
        row = (
            candidate.number,
            candidate.key,
            str(candidate.genome),
            candidate.generation,
            candidate.cost.params,
            candidate.cost.mult_adds,
            *((score.mse, score.psnr, score.seconds) if score else (None, None, None)),
            failure.kind.value if failure else None,
            json.dumps(candidate.origin.operators),
            json.dumps(candidate.origin.parents),
            candidate.origin.log_prob,
        )
        self._db.execute(
            f"INSERT OR REPLACE INTO evaluations VALUES ({', '.join('?' * len(row))}, 0)", row
        )
        if failure:
            self._insert_failure(
                candidate.number, candidate.key, failure, AttemptOutcome.INFEASIBLE
            )

    def _parse(self, row: tuple[Any, ...], failures: Sequence[Failure]) -> Evaluation:
        self._read[row[0]] = evaluation = _evaluation(row, failures)
        return evaluation

    def _insert_failure(
        self, number: int, key: str, failure: Failure, outcome: AttemptOutcome
    ) -> None:
        row = (
            number,
            key,
            outcome.value,
            failure.kind.value,
            failure.message,
            failure.traceback,
            failure.place,
        )
        self._db.execute(
            f"INSERT INTO failures (number, key, fate, {_FAILURE}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def _failures_by_number(self) -> dict[int, list[Failure]]:
        found: dict[int, list[Failure]] = defaultdict(list)
        for number, *failure in self._db.execute(
            f"SELECT number, {_FAILURE} FROM failures ORDER BY id"
        ):
            found[number].append(_failure(*failure))
        return found

    def _write(self, action: Callable[[], None]) -> None:
        """Do all of ``action`` or nothing; again, where the disk is full and ``on_full`` has waited for room."""
        tries = 0
        while True:
            try:
                with self._plain_errors(), self._transaction():
                    action()
                return
            except DiskFullError as error:
                if self._on_full is None:
                    raise
                self._on_full(error, tries)
                tries += 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite has already rolled back when the disk is full
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", None) in _FULL:
                raise DiskFullError(
                    f"{self.path}: the disk is full, or your share of it ({error}). All that was finished is kept"
                ) from error
            if (
                "not a database" in str(error)
                or "malformed" in str(error)
                or "no such" in str(error)
            ):
                raise StoreError(
                    f"{self.path}: not a search's file, or damaged ({error}). Give another run_dir"
                ) from error
            raise StoreError(f"{self.path}: {error}") from error
        except UnicodeDecodeError as error:  # SQLite's message quotes a schema that is no text
            raise StoreError(
                f"{self.path}: not a search's file, or damaged. Give another run_dir"
            ) from error

    @contextmanager
    def _whole_rows(self) -> Iterator[None]:
        """What is read inside must be what was written: a row that something else wrote is a damaged file, not a mistake here."""
        try:
            yield
        except StoreError:
            raise
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise StoreError(
                f"{self.path}: not a search's file, or damaged ({type(error).__name__}: {error}). Give another run_dir"
            ) from error


@contextmanager
def _no_collection() -> Iterator[None]:
    """Do without garbage collection: looking for circles among a hundred thousand evaluations takes a third of the time to read them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate as JSON, for states that hold some."""
    origin = candidate.origin
    return {
        "number": candidate.number,
        "generation": candidate.generation,
        "genome": str(candidate.genome),
        "cost": [candidate.cost.params, candidate.cost.mult_adds],
        "origin": [origin.operators, origin.parents, origin.log_prob],
    }


def candidate_from_json(data: dict[str, Any]) -> Candidate:
    """The candidate of :func:`candidate_to_json`."""
    operators, parents, log_prob = data["origin"]
    origin = Origin(tuple(operators), tuple(parents), log_prob)
    return Candidate(
        Genome.parse(data["genome"]),
        Cost(*data["cost"]),
        origin,
        data["generation"],
        data["number"],
    )


def _evaluation(row: tuple[Any, ...], failures: Sequence[Failure]) -> Evaluation:
    """The evaluation of a row; ``failures`` of its candidate, the last of which is the outcome where that is one."""
    (
        number,
        key,
        genome,
        generation,
        params,
        mult_adds,
        mse,
        psnr,
        seconds,
        kind,
        operators,
        parents,
        log_prob,
        _,
    ) = row
    origin = Origin(_names(operators), tuple(json.loads(parents)), log_prob)
    candidate = Candidate(
        Genome.recall(genome, key),
        Cost(int(params), int(mult_adds)),
        origin,
        int(generation),
        int(number),
    )
    if kind is None:
        return Evaluation(
            candidate, Score(float(mse), float(psnr), float(seconds)), tuple(failures)
        )
    return Evaluation(candidate, failures[-1], tuple(failures[:-1]))


@lru_cache
def _names(operators: str) -> tuple[str, ...]:
    return tuple(json.loads(operators))


def _failure(kind: str, message: str, traceback: str, place: str) -> Failure:
    return Failure(FailureKind(kind), message, traceback, place)


def _difference(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    shown = [
        f"{name} is {found.get(name)!r} there and {wanted.get(name)!r} here" for name in names[:5]
    ]
    more = f", and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{path.parent} holds a search with other settings: {'; '.join(shown)}{more}. Give the same settings, or another run_dir"
