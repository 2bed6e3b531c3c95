from __future__ import annotations

import csv
import io
from pathlib import Path

from rich.console import Console

from falsr_nas.archive.candidate import AttemptOutcome, FailedAttempt, Failure, FailureKind
from falsr_nas.report.failures import COLUMNS, failures_table, write_failures_csv

TRACEBACK = (
    'Traceback (most recent call last):\n  File "a, b.py", line 1\nZeroDivisionError: a bug\n'
)
FAILURES = [
    FailedAttempt(
        3,
        "a" * 16,
        1,
        Failure(FailureKind.TIMEOUT, "took longer", "", "worker 1"),
        AttemptOutcome.RETRIED,
    ),
    FailedAttempt(
        3,
        "a" * 16,
        2,
        Failure(FailureKind.TIMEOUT, "took longer again", "", "worker 0"),
        AttemptOutcome.INFEASIBLE,
    ),
    FailedAttempt(
        9,
        "b" * 16,
        1,
        Failure(FailureKind.BUG, "ZeroDivisionError: a bug", TRACEBACK),
        AttemptOutcome.STOPPED,
    ),
]


def test_the_file_holds_every_attempt_with_its_traceback(tmp_path: Path) -> None:
    write_failures_csv(tmp_path / "failures.csv", FAILURES)
    with (tmp_path / "failures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [
        (row["number"], row["attempt"], row["kind"], row["fate"], row["place"]) for row in rows
    ] == [
        ("3", "1", "timeout", "retried", "worker 1"),
        ("3", "2", "timeout", "infeasible", "worker 0"),
        ("9", "1", "bug", "stopped", ""),
    ]
    assert rows[2]["traceback"] == TRACEBACK


def test_the_table_counts_by_kind() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(failures_table(FAILURES))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "Failed attempts, 3" in text
    assert next(line.split()[:5] for line in text.splitlines() if "timeout" in line) == [
        "timeout",
        "2",
        "1",
        "1",
        "0",
    ]
    assert next(line.split()[:5] for line in text.splitlines() if "bug" in line) == [
        "bug",
        "1",
        "0",
        "0",
        "1",
    ]
    assert "took longer again" in text
    assert "diverged" not in text
