"""Run a search for a time, kill it in the middle, resume it, and check what it kept.

    python benchmarks/killed_search.py --run-dir outputs/killed [--seconds 600] [SETTING ...]

The search gets SIGKILL after half of the time, is started again by the same command, and gets
SIGTERM at the end. Then every evaluation of before the kill must be there unchanged, and there must
be new ones; and the first ones, evaluated again in this process, must get the same PSNR. A folder
that holds such a search already is continued. SETTINGs are passed to ``falsr_nas.search``. The last
line is one JSON object; the exit code is 1 where a check failed.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from falsr_nas.archive.store import Store
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.evaluation.settings import EVALUATORS, EvaluationContext
from startup import SEARCH, stored
from x2_paper import search_config

INTERRUPTED = 130
STOPPING = 60.0
"""Seconds that a search may take to stop cleanly."""


def run(command: list[str], seconds: float, end: signal.Signals, run_dir: Path) -> int:
    """Run a search, send it a signal after ``seconds``, and return its exit code.

    The signal waits for a first new evaluation, so that there is something to keep.
    """
    before, began = stored(run_dir / "search.db"), time.monotonic()
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            if time.monotonic() - began > seconds and stored(run_dir / "search.db") > before:
                process.send_signal(end)
                return process.wait(STOPPING)
            time.sleep(0.1)
        return process.returncode
    finally:
        process.kill()


def evaluations(run_dir: Path) -> dict[str, tuple[float | None, float | None]]:
    """Return PSNR and seconds of each stored evaluation by its key; failures have None."""
    with Store(run_dir / "search.db") as store:
        return {
            one.key: (None, None) if one.score is None else (one.score.psnr, one.score.seconds)
            for one in store.evaluations()
        }


def repeated(run_dir: Path, settings: list[str], count: int) -> list[dict[str, Any]]:
    """Evaluate the first candidates again, and return their old and their new PSNR in dB."""
    with Store(run_dir / "search.db") as store:
        first = store.evaluations()[:count]
    config = search_config(settings)
    context = EvaluationContext(config.training, config.data, config.seed)
    evaluator = EVALUATORS.build(config.evaluator, context)
    evaluator.prepare()
    rows = []
    for one in first:
        again = attempt(evaluator, one.candidate).score
        old = None if one.score is None else one.score.psnr
        rows.append({"key": one.key, "psnr": old, "again": None if again is None else again.psnr})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--repeat", type=int, default=2, help="candidates to evaluate again")
    options, settings = parser.parse_known_args()
    command = [*SEARCH, f"run_dir={options.run_dir}", "candidates=1000000", "tracking=none"]
    command += settings
    half = options.seconds / 2
    began = time.monotonic()
    killed = run(command, half, signal.SIGKILL, options.run_dir)
    before = evaluations(options.run_dir)
    stopped = run(command, half, signal.SIGTERM, options.run_dir)
    spent = time.monotonic() - began
    after = evaluations(options.run_dir)
    again = repeated(options.run_dir, settings, options.repeat)
    with Store(options.run_dir / "search.db") as store:
        failures = [failure.failure.kind.value for failure in store.failures()]
    checks = {
        "killed": killed == -signal.SIGKILL,
        "stopped cleanly": stopped == INTERRUPTED,
        "nothing lost or changed": before.items() <= after.items(),
        "new evaluations": 0 < len(before) < len(after),
        "same scores when repeated": all(row["psnr"] == row["again"] for row in again),
    }
    for name, passed in checks.items():
        print(f"{name}: {'yes' if passed else 'NO'}")
    result = {
        "seconds": spent,
        "evaluations_before_kill": len(before),
        "evaluations": len(after),
        "best_psnr": max((psnr for psnr, _ in after.values() if psnr is not None), default=None),
        "failures": {kind: failures.count(kind) for kind in sorted(set(failures))},
        "repeated": again,
        "checks": checks,
    }
    print(json.dumps(result | {"torch": torch.__version__}))
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
