"""Tests of failure policies, with an executor whose outcomes are given."""

from collections.abc import Collection

import numpy as np
import pytest

from falsr_nas.archive.candidate import (
    AttemptOutcome,
    Candidate,
    Evaluation,
    FailedAttempt,
    Failure,
    FailureKind,
    Origin,
    Score,
)
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, FailurePolicy
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace

SCORE = Score(100.0, 28.0, 1.0)
MEMORY, TIMEOUT, BUG = FailureKind.OUT_OF_MEMORY, FailureKind.TIMEOUT, FailureKind.BUG


class Scripted:
    """Returns the outcomes of a script: per candidate, the kinds of its failures in order.

    The n-th attempt of all fails on ``place n``.
    """

    capacity = 1

    def __init__(self, script: dict[int, list[FailureKind]]) -> None:
        self.script = {number: list(kinds) for number, kinds in script.items()}
        self.waiting: list[Candidate] = []
        self.avoided: list[set[str]] = []

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        self.waiting.append(candidate)
        self.avoided.append(set(avoid))

    def collect(self) -> Evaluation:
        candidate = self.waiting.pop(0)
        kinds = self.script.get(candidate.number)
        if not kinds:
            return Evaluation(candidate, SCORE)
        return Evaluation(
            candidate, Failure(kinds.pop(0), "told to", "where", f"place {len(self.avoided)}")
        )


def candidate(number: int) -> Candidate:
    genome = SearchSpace().sample(np.random.default_rng(number))
    return Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)


def run(
    script: dict[int, list[FailureKind]], policies: FailurePolicies, count: int = 1
) -> tuple[list[Evaluation], list[FailedAttempt], Scripted]:
    executor, log = Scripted(script), []
    retrying = RetryingExecutor(executor, policies, log.append)  # type: ignore[arg-type]
    ended = []
    for number in range(count):
        retrying.submit(candidate(number))
        ended.append(retrying.collect())
    return ended, log, executor


def test_a_candidate_is_retried_on_workers_where_it_has_not_failed() -> None:
    [ended], log, executor = run(
        {0: [MEMORY, MEMORY]}, FailurePolicies(out_of_memory=FailurePolicy(retries=2))
    )
    assert ended.outcome == SCORE
    assert ended.attempts == 3
    assert [(a.number, a.attempt, a.failure.kind, a.outcome) for a in log] == [
        (0, 1, MEMORY, AttemptOutcome.RETRIED),
        (0, 2, MEMORY, AttemptOutcome.RETRIED),
    ]
    assert executor.avoided == [set(), {"place 1"}, {"place 1", "place 2"}]


def test_after_all_retries_the_last_failure_is_the_outcome() -> None:
    [ended], log, _ = run(
        {0: [MEMORY] * 9}, FailurePolicies(out_of_memory=FailurePolicy(retries=2))
    )
    assert isinstance(ended.outcome, Failure)
    assert ended.attempts == 3
    assert len(log) == 2


def test_retries_are_counted_per_kind() -> None:
    policies = FailurePolicies(
        out_of_memory=FailurePolicy(retries=1), timeout=FailurePolicy(retries=1)
    )
    [ended], _, _ = run({0: [MEMORY, TIMEOUT]}, policies)
    assert ended.outcome == SCORE
    [ended], _, _ = run({0: [MEMORY, TIMEOUT, MEMORY]}, policies)
    assert isinstance(ended.outcome, Failure)


def test_consecutive_failures_stop_the_search_but_interrupted_ones_do_not() -> None:
    policies = FailurePolicies(bug=FailurePolicy(in_a_row=3))
    ended, _, _ = run(
        {0: [BUG], 1: [BUG], 3: [BUG], 4: [BUG], 5: [TIMEOUT, TIMEOUT], 6: [BUG], 7: [BUG]},
        policies,
        9,
    )
    assert sum(isinstance(evaluation.outcome, Failure) for evaluation in ended) == 7
    with pytest.raises(SearchError, match=r"3 candidates in a row failed \(bug\): told to\nwhere"):
        run({0: [BUG], 2: [BUG], 3: [BUG], 4: [BUG]}, policies, 9)


def test_every_kind_has_a_policy() -> None:
    for kind in FailureKind:
        assert isinstance(FailurePolicies().of(kind), FailurePolicy)


def test_invalid_policies_are_rejected_and_named() -> None:
    with pytest.raises(UserError, match=r"execution\.failures\.timeout\.retries is -1"):
        FailurePolicies(timeout=FailurePolicy(retries=-1))
    with pytest.raises(UserError, match=r"execution\.failures\.bug\.in_a_row is 0"):
        FailurePolicies(bug=FailurePolicy(in_a_row=0))
