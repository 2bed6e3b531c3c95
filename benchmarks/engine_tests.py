"""Run the tests of the training engine, those that need a GPU included where there is one.

    python benchmarks/engine_tests.py [FILE ...]

The last line is one JSON object: how many tests passed, failed and were skipped, and their names
where they did not pass. The exit code is pytest's.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/training",
    "tests/evaluation/test_incomplete_training.py",
    "tests/test_train.py::test_a_training_killed_and_gone_on_with_is_one_never_stopped",
)


class Outcomes:
    """A plugin of pytest that collects the outcome of each test."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.names[report.outcome].append(report.nodeid)


def main() -> None:
    outcomes, tests = Outcomes(), sys.argv[1:] or TESTS
    os.chdir(ROOT)
    code = pytest.main(["-p", "no:cacheprovider", "-rs", *tests], plugins=[outcomes])
    kinds = ("passed", "failed", "skipped")
    result = {kind: len(outcomes.names[kind]) for kind in kinds}
    names = {kind: outcomes.names[kind] for kind in kinds[1:]}
    print(json.dumps({"tests": result, "names": names}))
    sys.exit(code)


if __name__ == "__main__":
    main()
