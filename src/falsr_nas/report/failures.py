"""What failed in a search: a table for the terminal, a file for looking closer."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from falsr_nas.archive.candidate import AttemptOutcome, FailedAttempt, FailureKind
from falsr_nas.files import write_atomically

COLUMNS = ("number", "key", "attempt", "kind", "fate", "place", "message", "traceback")
"""Columns of ``failures.csv``: the candidate's number and key, which attempt failed, how, what became of the candidate, on which worker."""


def failures_table(failures: Sequence[FailedAttempt]) -> Table:
    """A row for each kind of failure: attempts that failed so, what became of the candidates, and the last message."""
    table = Table(
        title=f"Failed attempts, {len(failures)}", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("kind", no_wrap=True)
    for column in ("attempts", *AttemptOutcome):
        table.add_column(column, justify="right")
    table.add_column("last message", ratio=1)
    for kind in FailureKind:
        if attempts := [attempt for attempt in failures if attempt.failure.kind is kind]:
            fates = [
                str(sum(attempt.outcome is fate for attempt in attempts)) for fate in AttemptOutcome
            ]
            table.add_row(kind.value, str(len(attempts)), *fates, attempts[-1].failure.message)
    return table


def write_failures_csv(path: Path, failures: Sequence[FailedAttempt]) -> None:
    """Write every failed attempt with its traceback, in :data:`COLUMNS`. Raises UserError where it cannot be written."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for attempt in failures:
        failure = attempt.failure
        what = (
            failure.kind.value,
            attempt.outcome.value,
            failure.place,
            failure.message,
            failure.traceback,
        )
        table.writerow((attempt.number, attempt.key, attempt.attempt, *what))
    write_atomically(path, text.getvalue().encode())
