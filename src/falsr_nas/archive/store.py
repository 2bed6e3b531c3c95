"""Storage of a search: one SQLite file that stays consistent if the process is killed.

Evaluations and failed attempts are written immediately. The state of the controller is written in
one transaction with the mark that the controller was told these evaluations. At any time the
file therefore holds a state and all evaluations that finished after it.
"""

from __future__ import annotations

import gc
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import AttemptOutcome, Evaluation, FailedAttempt, Failure
from falsr_nas.archive.database import Database, DiskFullError, StoreError
from falsr_nas.archive.schema import COLUMNS, SCHEMA, SCHEMA_VERSION, SCORE_COLUMNS
from falsr_nas.archive.serialization import evaluation_of_row, failure_of_row, row_of_evaluation
from falsr_nas.core.closing import Closing
from falsr_nas.core.comparison import differences
from falsr_nas.core.plugins import missing, owner, plugins_of_settings, warn_of_changes
from falsr_nas.space.cell import Operator
from falsr_nas.space.errors import GenomeError
from falsr_nas.space.operators import GROUP

_FAILURE_COLUMNS = "kind, message, traceback, place"

_log = logging.getLogger(__name__)


class Store(Closing):
    """The evaluations and the controller's state of one search.

    Args:
        path: the file. It is created if it does not exist and ``config`` is given.
        config: the settings that identify the search, by dotted names. A file of a search with
            other settings is rejected. None opens any existing search.
        ignored: those settings that may differ.
        on_full: called when the disk is full, with the error and the number of retries so far; when
            it returns, the write is retried. Without it the error is raised.

    Raises:
        StoreError: the file is missing, damaged or not a file of a search, belongs to a search with
            other settings (the message names them), or the disk is full.
    """

    def __init__(
        self,
        path: Path,
        config: dict[str, Any] | None = None,
        ignored: Collection[str] = (),
        on_full: Callable[[DiskFullError, int], None] | None = None,
    ) -> None:
        self.path = path
        # Rows are parsed once: a large search reads all of them many times.
        self._parsed: dict[int, Evaluation] = {}
        existed = path.exists()
        if config is None and not existed:  # SQLite would create it
            raise StoreError(f"{path}: there is no such file")
        self._db = Database(path, on_full, reads=config is None)
        try:
            with self._db.errors_translated():
                self._open(config, ignored, existed)
        except BaseException:
            self._db.close()
            raise

    def _open(self, config: dict[str, Any] | None, ignored: Collection[str], existed: bool) -> None:
        text = None if config is None else json.dumps(config, sort_keys=True)
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            if text is None:
                raise StoreError(f"{self.path}: there is no search in this file")
            if existed:
                _log.warning("%s was empty: a new search begins in it", self.path)
            with self._db.transaction():
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._set_about("version", str(SCHEMA_VERSION))
                self._set_about("config", text)
            self._db.merge()
            return
        with self._db.content_errors_translated():
            about = dict(self._db.rows("SELECT name, value FROM about"))
            if about.get("version") == "3":
                if config is None:
                    self._db.read_a_copy()
                self._add_latencies()
                about["version"] = str(SCHEMA_VERSION)
            if about.get("version") != str(SCHEMA_VERSION):
                raise StoreError(
                    f"{self.path}: made by another version of falsr_nas (format"
                    f" {about.get('version')}, this version reads {SCHEMA_VERSION})."
                    " Give another run_dir"
                )
            stored = dict(json.loads(about["config"]))
            differs = "" if text is None else differences(stored, json.loads(text), ignored)
        if differs:
            kept = self.path.parent / "plugins"
            raise StoreError(
                f"{self.path.parent} holds a search with other settings: {differs}."
                " Give the same settings, or another run_dir"
                + (f" ({kept} has its plug-ins)" if "the plug-in" in differs else "")
            )
        if config is None:
            self._check_plugins(plugins_of_settings(stored), stored.get("space.operators", ()))

    def _add_latencies(self) -> None:
        """Add the columns that stores of version 0.2 do not have."""
        with self._db.transaction():
            for column in ("latency", "latency_spread"):
                self._db.execute(f"ALTER TABLE evaluations ADD COLUMN {column} REAL")
            self._set_about("version", str(SCHEMA_VERSION))

    def _check_plugins(self, needed: dict[str, str], operators: Iterable[str]) -> None:
        """Check that those plug-ins are loaded without which the genomes cannot be read.

        Args:
            needed: SHA-256 of the search's plug-ins by name.
            operators: of the search space.
        """
        folder = self.path.parent
        try:
            owners = [owner(GROUP, Operator.parse(name).kind) for name in operators]
        except GenomeError as error:
            if absent := missing(needed):
                given = ", ".join(f"{folder / 'plugins' / name}.py" for name in absent)
                raise StoreError(
                    f"{folder} holds a search with the plug-in {', '.join(absent)}:"
                    f" give plugins=[{given}], or where else it is. This runs code from there"
                ) from error
            return  # reading a genome says what is wrong
        used = {plugin.name for plugin in owners if plugin is not None}
        warn_of_changes({name: needed[name] for name in used & needed.keys()}, str(folder))

    @property
    def config(self) -> dict[str, Any]:
        """The settings that identify the search, by dotted names."""
        with self.reading():
            return dict(json.loads(self._about("config") or ""))

    @property
    def psnr_range(self) -> tuple[float, float] | None:
        """PSNR in dB between which the hypervolume is measured; None where none was stored."""
        with self.reading():
            text = self._about("psnr_range")
            if text is None:
                return None
            worst, best = json.loads(text)
            return float(worst), float(best)

    def set_psnr_range(self, psnr_range: tuple[float, float]) -> None:
        """Store the PSNR in dB between which the hypervolume is measured."""
        self._db.write(lambda: self._set_about("psnr_range", json.dumps(psnr_range)))

    @property
    def profile(self) -> str | None:
        """JSON of the profile that predicts latencies of the search; None where it has none."""
        with self.reading():
            return self._about("profile")

    def set_profile(self, profile: str) -> None:
        """Store the JSON of the profile, so that the file needs no other to be read."""
        self._db.write(lambda: self._set_about("profile", profile))

    def add(self, evaluation: Evaluation) -> None:
        """Store an evaluation durably; it replaces an earlier one with the same number.

        Failures of earlier attempts are not stored here: :meth:`add_failure` does that.
        """
        self._db.write(lambda: self._insert(evaluation))

    def add_failure(self, attempt: FailedAttempt) -> None:
        """Store durably a failed attempt that is not the outcome of an evaluation."""
        self._db.write(
            lambda: self._insert_failure(
                attempt.number, attempt.key, attempt.failure, attempt.outcome
            )
        )

    def commit_state(self, state: dict[str, Any], evaluations: Sequence[Evaluation] = ()) -> None:
        """Store the controller's state and these evaluations in one transaction.

        All evaluations stored so far are marked as told to the controller.
        """
        text = json.dumps(state)

        def write() -> None:
            for evaluation in evaluations:
                self._insert(evaluation)
            self._db.execute("UPDATE evaluations SET told = 1 WHERE told = 0")
            self._set_about("state", text)

        self._db.write(write)

    def state(self) -> dict[str, Any] | None:
        """Return the last state of the controller, or None if there is none yet."""
        with self.reading():
            text = self._about("state")
            return None if text is None else dict(json.loads(text))

    def evaluations(self, *, told: bool | None = None) -> list[Evaluation]:
        """Return evaluations by number.

        ``told=True`` selects those that the controller was told, ``told=False`` the others.
        """
        where = "" if told is None else f"WHERE told = {int(told)}"
        with self.reading(), _garbage_collection_off():
            rows = self._db.rows(
                f"SELECT {COLUMNS}, {SCORE_COLUMNS} FROM evaluations {where} ORDER BY number"
            )
            # After the rows, so that their failures are complete while another process writes.
            failures = self._failures_by_number()
            return [
                self._parsed.get(row[0]) or self._parse(row, failures.get(row[0], ()))
                for row in rows
            ]

    def failures(self) -> list[FailedAttempt]:
        """Return all failed attempts by number of the candidate, then by time."""
        with self.reading():
            rows = self._db.rows(
                f"SELECT number, key, fate, {_FAILURE_COLUMNS} FROM failures ORDER BY number, id"
            )
            found: list[FailedAttempt] = []
            for number, key, outcome, *failure in rows:
                attempt = found[-1].attempt + 1 if found and found[-1].number == number else 1
                failed, after = failure_of_row(*failure), AttemptOutcome(outcome)
                found.append(FailedAttempt(number, key, attempt, failed, after))
            return found

    def count(self) -> int:
        """Return the number of stored evaluations."""
        with self._db.errors_translated():
            return int(self._db.execute("SELECT count(*) FROM evaluations").fetchone()[0])

    def close(self) -> None:
        """Merge SQLite's journal into the file and close it."""
        self._db.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn errors of SQLite, and from unexpected content, into a StoreError."""
        with self._db.errors_translated(), self._db.content_errors_translated():
            yield

    def _about(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set_about(self, name: str, text: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, text))

    def _insert(self, evaluation: Evaluation) -> None:
        candidate, outcome = evaluation.candidate, evaluation.outcome
        self._parsed.pop(candidate.number, None)
        row = row_of_evaluation(evaluation)
        self._db.execute(
            f"INSERT OR REPLACE INTO evaluations ({COLUMNS}, {SCORE_COLUMNS})"
            f" VALUES ({', '.join('?' * len(row))})",
            row,
        )
        if isinstance(outcome, Failure):
            self._insert_failure(
                candidate.number, candidate.key, outcome, AttemptOutcome.INFEASIBLE
            )

    def _parse(self, row: tuple[Any, ...], failures: Sequence[Failure]) -> Evaluation:
        self._parsed[row[0]] = evaluation = evaluation_of_row(row, failures)
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
            f"INSERT INTO failures (number, key, fate, {_FAILURE_COLUMNS})"
            f" VALUES ({', '.join('?' * len(row))})",
            row,
        )

    def _failures_by_number(self) -> dict[int, list[Failure]]:
        found: dict[int, list[Failure]] = defaultdict(list)
        for number, *failure in self._db.rows(
            f"SELECT number, {_FAILURE_COLUMNS} FROM failures ORDER BY id"
        ):
            found[number].append(failure_of_row(*failure))
        return found


@contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """Switch off garbage collection: it takes a third of the time to read 100,000 evaluations."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
