"""The search's memory on disk: one SQLite file that any kill leaves whole.

Two kinds of rows: evaluations, each written the moment it ends, and the controller's state, written together with the mark that it was
told these evaluations. So whatever instant the process dies at, the file holds a state and all that was finished after it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from falsr_nas.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.errors import UserError
from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE evaluations (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, genome TEXT NOT NULL, generation INTEGER NOT NULL,
    params INTEGER NOT NULL, mult_adds INTEGER NOT NULL,
    mse REAL, psnr REAL, seconds REAL, failure TEXT, message TEXT, traceback TEXT,
    operators TEXT NOT NULL, parents TEXT NOT NULL, log_prob REAL,
    told INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX untold ON evaluations (told) WHERE told = 0;
"""


class StoreError(UserError):
    """The search's file cannot be read or written; the message says why and what to do."""


class Store:
    """The evaluations and the controller's state of one search.

    Args:
        path: the file; made where it is missing.
        config: the resolved settings that make this search what it is, flattened. A file made with others is refused.

    Raises:
        StoreError: the file is not a search's, is damaged, belongs to another configuration (the message names what differs),
            or the disk is full.
    """

    def __init__(self, path: Path, config: dict[str, Any] | None = None) -> None:
        self.path = path
        if config is None and not path.exists():  # SQLite would make it
            raise StoreError(f"{path}: there is no such file")
        with self._plain_errors():
            self._db = sqlite3.connect(path, isolation_level=None)
            # WAL with NORMAL loses nothing when the process dies; when the machine loses power, at most the last evaluations.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA busy_timeout = 60000")
            self._open(config)

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
        about = dict(self._db.execute("SELECT name, value FROM about"))
        if about.get("version") != str(SCHEMA_VERSION):
            raise StoreError(
                f"{self.path}: made by another version of falsr_nas (format {about.get('version')}, this one reads {SCHEMA_VERSION})"
            )
        if config is not None and (found := json.loads(about["config"])) != json.loads(text or ""):
            raise StoreError(_difference(self.path, found, config))

    @property
    def config(self) -> dict[str, Any]:
        """The settings that the search was begun with, flattened."""
        row = self._db.execute("SELECT value FROM about WHERE name = 'config'").fetchone()
        return dict(json.loads(row[0]))

    def add(self, evaluation: Evaluation) -> None:
        """Keep an evaluation that has just ended, durable when this returns. One of the same number is replaced."""
        with self._plain_errors():
            self._insert(evaluation)

    def commit_state(self, state: dict[str, Any], evaluations: Iterable[Evaluation] = ()) -> None:
        """Keep a state and, in the same transaction, these evaluations, and that the controller was told all that are kept so far."""
        with self._plain_errors(), self._transaction():
            for evaluation in evaluations:
                self._insert(evaluation)
            self._db.execute("UPDATE evaluations SET told = 1 WHERE told = 0")
            self._db.execute("INSERT OR REPLACE INTO about VALUES ('state', ?)", (json.dumps(state),))

    def state(self) -> dict[str, Any] | None:
        """The controller's last state, or None before the first."""
        row = self._db.execute("SELECT value FROM about WHERE name = 'state'").fetchone()
        return None if row is None else json.loads(row[0])

    def evaluations(self, *, told: bool | None = None) -> list[Evaluation]:
        """All evaluations by number; ``told`` picks those the controller had, or had not, been told at its last state."""
        where = "" if told is None else f"WHERE told = {int(told)}"
        with self._plain_errors():
            rows = self._db.execute(f"SELECT * FROM evaluations {where} ORDER BY number")
            return [_evaluation(row) for row in rows]

    def count(self) -> int:
        """How many evaluations are kept."""
        return int(self._db.execute("SELECT count(*) FROM evaluations").fetchone()[0])

    def close(self) -> None:
        """Fold the journal into the one file and let it go."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _insert(self, evaluation: Evaluation) -> None:
        candidate, outcome = evaluation.candidate, evaluation.outcome
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
            *((failure.kind.value, failure.message, failure.traceback) if failure else (None, None, None)),
            json.dumps(candidate.origin.operators),
            json.dumps(candidate.origin.parents),
            candidate.origin.log_prob,
        )
        self._db.execute(f"INSERT OR REPLACE INTO evaluations VALUES ({', '.join('?' * len(row))}, 0)", row)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite has already rolled back when the disk is full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "full" in str(error):
                raise StoreError(
                    f"{self.path}: the disk is full. All that was finished is kept: make room, then run the same command"
                ) from error
            if "not a database" in str(error) or "malformed" in str(error) or "no such" in str(error):
                raise StoreError(f"{self.path}: not a search's file, or damaged ({error}). Give another run_dir") from error
            raise StoreError(f"{self.path}: {error}") from error


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
    return Candidate(Genome.parse(data["genome"]), Cost(*data["cost"]), origin, data["generation"], data["number"])


def _evaluation(row: tuple[Any, ...]) -> Evaluation:
    number, _, genome, generation, params, mult_adds, mse, psnr, seconds, kind, message, traceback, operators, parents, log_prob, _ = row
    origin = Origin(tuple(json.loads(operators)), tuple(json.loads(parents)), log_prob)
    candidate = Candidate(Genome.parse(genome), Cost(params, mult_adds), origin, generation, number)
    outcome = Score(mse, psnr, seconds) if kind is None else Failure(FailureKind(kind), message, traceback)
    return Evaluation(candidate, outcome)


def _difference(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    shown = [f"{name} is {found.get(name)!r} there and {wanted.get(name)!r} here" for name in names[:5]]
    more = f", and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{path.parent} holds a search with other settings: {'; '.join(shown)}{more}. Give the same settings, or another run_dir"
