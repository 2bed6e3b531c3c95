"""A long search in which every tenth candidate meets a fault."""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import AttemptOutcome, FailureKind, Score
from falsr_nas.archive.store import Store
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, FailurePolicy, ProcessesSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search.loop import run_search
from faulty_evaluator import KINDS, FaultyEvaluator

CANDIDATES = 2_000
QUICK_FAULTS = ("kill", "memory", "nan", "exception", "unpicklable", "image")
TIME_LIMIT = 10.0
"""Of an evaluation, in seconds: far more than one takes, also on a busy machine."""


def random_faults(rng: random.Random) -> dict[int, str]:
    """One fault among every ten candidates; every twentieth is one that needs the time limit."""
    return {
        first + rng.randrange(10): "loop" if first % 200 == 0 else rng.choice(QUICK_FAULTS)
        for first in range(0, CANDIDATES, 10)
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    faults, log, marks = random_faults(random.Random(17)), tmp_path / "log", tmp_path / "marks"
    marks.mkdir()
    problem = Problem(constraints=Constraints(max_mult_adds=60))
    controller = NSGA2(NSGA2Settings(population_size=16), problem, np.random.default_rng(1))
    policies = FailurePolicies(*[FailurePolicy(retries=1)] * len(FailureKind))
    executor = ProcessesExecutor(
        ProcessesSettings(workers=2, time_limit=TIME_LIMIT),
        partial(FaultyEvaluator, faults, marks, log=log),
    )
    began = time.monotonic()
    with Store(tmp_path / "search.db", {}) as store, executor:
        run_search(
            controller,
            RetryingExecutor(executor, policies, store.add_failure),
            store,
            budget=CANDIDATES,
        )
        evaluations, failures = store.evaluations(told=True), store.failures()
    assert [one.candidate.number for one in evaluations] == list(range(CANDIDATES))
    assert len({one.key for one in evaluations}) == CANDIDATES
    assert all(isinstance(one.outcome, Score) for one in evaluations)
    assert {one.number: one.failure.kind for one in failures} == {
        number: KINDS[fault] for number, fault in faults.items()
    }
    assert len(failures) == len(faults)
    assert {one.outcome for one in failures} == {AttemptOutcome.RETRIED}
    attempts = Counter(int(line) for line in log.read_text().splitlines())
    assert attempts == {number: 1 + (number in faults) for number in range(CANDIDATES)}
    kinds = Counter(faults.values())
    print(f"{CANDIDATES} candidates, {dict(kinds)}: {time.monotonic() - began:.0f} s")
