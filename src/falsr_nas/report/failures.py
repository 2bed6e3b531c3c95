"""Failed attempts of a search: a summary for the terminal, and all of them in a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from falsr_nas.archive.candidate import AttemptOutcome, FailedAttempt, FailureKind
from falsr_nas.core.files import write_atomically

COLUMNS = ("number", "key", "attempt", "kind", "fate", "place", "message", "traceback")
"""Columns of ``failures.csv``.

Number and key of the candidate; number and kind of the failed attempt; ``fate``, what happened to
the candidate afterwards (an :class:`AttemptOutcome`); the worker; message and traceback.
"""


def failures_table(failures: Sequence[FailedAttempt]) -> Table:
    """Return a table with a row for each kind: attempts, their outcomes, and the last message."""
    table = Table(
        title=f"Failed attempts, {len(failures)}", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("kind", no_wrap=True)
    for column in ("attempts", *AttemptOutcome):
        table.add_column(column, justify="right")
    table.add_column("last message", ratio=1)
    for kind in FailureKind:
        if attempts := [attempt for attempt in failures if attempt.failure.kind is kind]:
            outcomes = [
                str(sum(attempt.outcome is outcome for attempt in attempts))
                for outcome in AttemptOutcome
            ]
            table.add_row(kind.value, str(len(attempts)), *outcomes, attempts[-1].failure.message)
    return table


def write_failures_csv(path: Path, failures: Sequence[FailedAttempt]) -> None:
    """Write every failed attempt with its traceback, in the columns of :data:`COLUMNS`.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for attempt in failures:
        failure, fate = attempt.failure, attempt.outcome.value
        what = failure.kind.value, fate, failure.place, failure.message, failure.traceback
        table.writerow((attempt.number, attempt.key, attempt.attempt, *what))
    write_atomically(path, text.getvalue().encode())
