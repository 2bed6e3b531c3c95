"""Measure the time to start: help of a command, and the first candidate of a search.

    python benchmarks/startup.py [--runs 5]

Times are those of whole processes: the median of several, after a first one that is not counted.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

SEARCH = (sys.executable, "-m", "falsr_nas.search")
SMALL = (
    "+experiment=demo",
    "training.epochs=1",
    "training.steps_per_epoch=1",
    "tracking=none",
    "candidates=2",
    "controller.population_size=2",
)


def seconds_of(*command: str) -> float:
    """Return the wall time of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def seconds_to_first_candidate() -> float:
    """Return the time from the start of a search until its first evaluation is stored."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*SEARCH, *SMALL, f"run_dir={folder}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not stored(Path(folder) / "search.db"):
            time.sleep(0.02)
        waited = time.perf_counter() - began
        process.wait()
        return waited


def stored(path: Path) -> int:
    """Return the number of evaluations in a store; 0 if it does not exist yet."""
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(path) as db:
            return int(db.execute("SELECT count(*) FROM evaluations").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    measures = {
        "search --help": lambda: seconds_of(*SEARCH, "--help"),
        "describe genome=FALSR-A": lambda: seconds_of(
            sys.executable, "-m", "falsr_nas.describe", "genome=FALSR-A"
        ),
        "first candidate": seconds_to_first_candidate,
    }
    table, result = Table("what", "seconds", "least", "most"), {}
    for name, measure in measures.items():
        measure()
        times = [measure() for _ in range(options.runs)]
        result[name] = statistics.median(times)
        table.add_row(name, f"{result[name]:.2f}", f"{min(times):.2f}", f"{max(times):.2f}")
    Console().print(table)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
