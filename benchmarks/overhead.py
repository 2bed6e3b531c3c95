"""Measure the overhead of a search: the time of controller, loop and store per candidate.

    python benchmarks/overhead.py [--candidates 10000] [--population 64]

The search has the size of the paper's, with the synthetic evaluator, whose time does not count. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from falsr_nas.archive.candidate import Candidate, Score
from falsr_nas.archive.store import Store
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, InlineSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search.loop import run_search


class TimedEvaluator(SyntheticEvaluator):
    """Synthetic evaluator that sums up its own time, so that it can be subtracted."""

    seconds = 0.0

    def evaluate(self, candidate: Candidate) -> Score:
        began = time.perf_counter()
        score = super().evaluate(candidate)
        self.seconds += time.perf_counter() - began
        return score


class TimedStore(Store):
    """Store that sums up the time of its writes."""

    seconds = 0.0

    def add(self, *arguments) -> None:
        began = time.perf_counter()
        super().add(*arguments)
        self.seconds += time.perf_counter() - began

    def commit_state(self, *arguments) -> None:
        began = time.perf_counter()
        super().commit_state(*arguments)
        self.seconds += time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--population", type=int, default=64)
    options = parser.parse_args()
    problem = Problem(constraints=Constraints(max_mult_adds=250))
    settings = NSGA2Settings(population_size=options.population)
    controller = NSGA2(settings, problem, np.random.default_rng(1))
    evaluator = TimedEvaluator(SyntheticSettings(), seed=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        TimedStore(Path(folder) / "search.db", {}) as store,
    ):
        with InlineExecutor(InlineSettings(), lambda: evaluator) as executor:
            began = time.perf_counter()
            retrying = RetryingExecutor(executor, FailurePolicies(), store.add_failure)
            run_search(controller, retrying, store, budget=options.candidates)
            whole = time.perf_counter() - began
        began = time.perf_counter()
        store.evaluations()
        read = time.perf_counter() - began
    search = whole - evaluator.seconds
    each = {
        "controller and loop": (search - store.seconds) / options.candidates * 1e3,
        "store": store.seconds / options.candidates * 1e3,
        "together": search / options.candidates * 1e3,
    }
    table = Table(
        "part",
        "ms per candidate",
        title=f"{options.candidates:,} candidates, {options.population} per generation",
    )
    for name, milliseconds in each.items():
        table.add_row(name, f"{milliseconds:.3f}")
    Console().print(table)
    print(
        json.dumps(
            {
                "candidates": options.candidates,
                "ms_per_candidate": each,
                "seconds_to_read_all": read,
            }
        )
    )


if __name__ == "__main__":
    main()
