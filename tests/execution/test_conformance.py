"""Tests that every executor must pass. A new executor is added in tests/backends.py."""

import itertools
import multiprocessing
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from backends import Backend, every_backend, needs_isolation
from falsr_nas.archive.candidate import (
    AttemptOutcome,
    Candidate,
    Evaluation,
    Failure,
    FailureKind,
    Origin,
    Score,
)
from falsr_nas.archive.store import Store
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.execution.executor import Executor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, FailurePolicy, Then
from falsr_nas.objectives.problem import Problem
from falsr_nas.search.loop import run_search
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from faulty_evaluator import KINDS, FaultyEvaluator

TIME_LIMIT = 2.0
SPACE = SearchSpace()
PROBLEM = Problem(SPACE)
FAULTS = {3: "memory", 6: "nan", 8: "exception", 13: "unpicklable"}
"""Faults that a search survives with any executor."""
FATAL_FAULTS = {1: "kill", 11: "loop", 17: "kill"}
"""Faults that a search survives only if evaluations run in processes of their own."""


def every_kind(policy: FailurePolicy) -> FailurePolicies:
    return FailurePolicies(*[policy] * len(FailureKind))


def candidate(number: int) -> Candidate:
    genome = SPACE.sample(np.random.default_rng(number))
    return Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)


def run(executor: Executor, candidates: list[Candidate]) -> dict[int, Score | Failure]:
    for one in candidates:
        executor.submit(one)
    ended = [executor.collect() for _ in candidates]
    assert sorted(evaluation.candidate.number for evaluation in ended) == sorted(
        one.number for one in candidates
    )
    return {e.candidate.number: e.outcome for e in ended}


def search(
    backend: Backend,
    make: partial[FaultyEvaluator],
    path: Path,
    policies: FailurePolicies,
    budget: int = 24,
) -> list[Evaluation]:
    settings = NSGA2Settings(population_size=8)
    controller = NSGA2(settings, PROBLEM, np.random.default_rng(1))
    with Store(path, {}) as store, backend.build(make, TIME_LIMIT) as executor:
        run_search(
            controller,
            RetryingExecutor(executor, policies, store.add_failure),
            store,
            budget=budget,
        )
        return store.evaluations()


def found(evaluations: list[Evaluation]) -> list[tuple]:
    return [(e.candidate, e.score and (e.score.mse, e.score.psnr)) for e in evaluations]


@every_backend
def test_every_candidate_is_returned_once_with_its_outcome(backend: Backend) -> None:
    with backend.build(partial(FaultyEvaluator, FAULTS), None) as executor:
        outcomes = run(executor, [candidate(i) for i in range(16)])
        for number, outcome in outcomes.items():
            if number in FAULTS:
                assert isinstance(outcome, Failure)
                assert outcome.kind is KINDS[FAULTS[number]]
                assert FAULTS[number] == "nan" or "Traceback" in outcome.traceback
            else:
                assert isinstance(outcome, Score)
                assert outcome.psnr == FaultyEvaluator().evaluate(candidate(number)).psnr
        assert isinstance(run(executor, [candidate(20)])[20], Score)


@every_backend
def test_a_users_mistake_is_raised_before_any_evaluation(backend: Backend) -> None:
    with (
        pytest.raises(UserError, match="no images in nowhere"),
        backend.build(partial(FaultyEvaluator, refuse=True), None),
    ):
        pytest.fail("entered")
    assert not multiprocessing.active_children()


@every_backend
def test_retried_faults_do_not_change_the_front(backend: Backend, tmp_path: Path) -> None:
    faults = FAULTS | (FATAL_FAULTS if backend.isolated else {})
    whole = search(backend, partial(FaultyEvaluator), tmp_path / "whole.db", FailurePolicies())
    (tmp_path / "marks").mkdir()
    faulty = search(
        backend,
        partial(FaultyEvaluator, faults, tmp_path / "marks"),
        tmp_path / "faulty.db",
        every_kind(FailurePolicy(retries=1)),
    )
    assert len(list((tmp_path / "marks").iterdir())) == len(faults)
    assert found(faulty) == found(whole)
    assert [e.key for e in PROBLEM.front(faulty)] == [e.key for e in PROBLEM.front(whole)]
    assert {e.candidate.number: e.attempts for e in faulty if e.attempts > 1} == dict.fromkeys(
        faults, 2
    )
    with Store(tmp_path / "faulty.db") as store:
        failures = {attempt.number: attempt for attempt in store.failures()}
    assert {number: attempt.failure.kind for number, attempt in failures.items()} == {
        number: KINDS[fault] for number, fault in faults.items()
    }
    assert {attempt.outcome for attempt in failures.values()} == {AttemptOutcome.RETRIED}
    assert "ZeroDivisionError: a bug" in failures[8].failure.traceback


@every_backend
def test_without_retries_faulty_candidates_are_infeasible(backend: Backend, tmp_path: Path) -> None:
    faults = FAULTS | (FATAL_FAULTS if backend.isolated else {})
    evaluations = search(
        backend,
        partial(FaultyEvaluator, faults),
        tmp_path / "search.db",
        every_kind(FailurePolicy()),
    )
    assert len(evaluations) == 24
    failed = {
        e.candidate.number: e.outcome.kind for e in evaluations if isinstance(e.outcome, Failure)
    }
    assert failed == {number: KINDS[fault] for number, fault in faults.items()}


@every_backend
def test_the_policy_stop_stops_the_search_and_a_resumed_one_evaluates_the_candidate(
    backend: Backend, tmp_path: Path
) -> None:
    (tmp_path / "marks").mkdir()
    make = partial(FaultyEvaluator, {10: "exception"}, tmp_path / "marks")
    with pytest.raises(
        SearchError, match=r"(?s)candidate 10 failed \(bug\): ZeroDivisionError: a bug\nTraceback"
    ):
        search(backend, make, tmp_path / "search.db", every_kind(FailurePolicy(then=Then.stop)))
    with Store(tmp_path / "search.db") as store:
        assert 10 not in [e.candidate.number for e in store.evaluations()]
        assert [(a.number, a.outcome) for a in store.failures()] == [(10, AttemptOutcome.STOPPED)]
    resumed = search(
        backend, make, tmp_path / "search.db", every_kind(FailurePolicy(then=Then.stop))
    )
    assert found(resumed) == found(
        search(backend, partial(FaultyEvaluator), tmp_path / "whole.db", FailurePolicies())
    )
    assert resumed[10].attempts == 2


@every_backend
def test_a_lost_image_stops_the_search_and_can_be_fixed(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"bad_data\): image lost\.png cannot be read.*fix the images"
    ):
        search(
            backend,
            partial(FaultyEvaluator, {2: "image"}),
            tmp_path / "search.db",
            FailurePolicies(),
        )


@every_backend
@pytest.mark.parametrize("fault", ["kill", "loop"])
def test_a_fatal_candidate_does_not_affect_others(backend: Backend, fault: str) -> None:
    needs_isolation(backend)
    with backend.build(partial(FaultyEvaluator, {1: fault, 4: fault}), 1.0) as executor:
        outcomes = run(executor, [candidate(i) for i in range(8)])
    failed = {
        number: outcome.kind for number, outcome in outcomes.items() if isinstance(outcome, Failure)
    }
    assert failed == {1: KINDS[fault], 4: KINDS[fault]}


@every_backend
def test_a_failed_candidate_runs_on_another_worker(backend: Backend) -> None:
    with backend.build(partial(FaultyEvaluator, {0: "exception"}), None) as executor:
        if executor.capacity == 1:
            pytest.skip(f"{backend.name} has one worker only")
        places = []
        for _ in range(4):
            executor.submit(candidate(0), avoid=places[-1:])
            outcome = executor.collect().outcome
            assert isinstance(outcome, Failure)
            places.append(outcome.place)
        assert len(set(places)) == 2
        assert all(before != after for before, after in itertools.pairwise(places))
        executor.submit(candidate(0), avoid=places)  # no other is left: it runs anyway
        assert isinstance(executor.collect().outcome, Failure)


@every_backend
def test_leaving_cancels_running_evaluations(backend: Backend) -> None:
    needs_isolation(backend)
    began = time.monotonic()
    with backend.build(partial(FaultyEvaluator, {0: "loop"}), None) as executor:
        executor.submit(candidate(0))
    assert not multiprocessing.active_children()
    assert time.monotonic() - began < 60
