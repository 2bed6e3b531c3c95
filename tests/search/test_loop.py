from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Score
from falsr_nas.archive.store import Store
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, FailurePolicy, InlineSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search.loop import run_search
from recording_evaluator import RecordingEvaluator


class CountingObserver:
    def __init__(self) -> None:
        self.generations: list[int] = []
        self.count = 0

    def evaluated(self, evaluation: Evaluation) -> None:
        self.count += 1

    def generation_ended(self, generation: int) -> None:
        self.generations.append(generation)


def search(
    path: Path,
    evaluator: RecordingEvaluator,
    budget: int = 40,
    observer: CountingObserver | None = None,
    policies: FailurePolicies | None = None,
) -> list[Evaluation]:
    controller = NSGA2(
        NSGA2Settings(population_size=8),
        Problem(constraints=Constraints(max_mult_adds=60)),
        np.random.default_rng(1),
    )
    observers = [observer] if observer else []
    with Store(path, {}) as store, InlineExecutor(InlineSettings(), lambda: evaluator) as executor:
        run_search(
            controller,
            RetryingExecutor(executor, policies or FailurePolicies(), store.add_failure),
            store,
            budget=budget,
            observers=observers,
        )
        return store.evaluations()


def results(evaluations: list[Evaluation]) -> Iterator[tuple]:
    return ((e.candidate, e.score and e.score.mse) for e in evaluations)


def test_a_search_uses_its_budget_and_reports_each_generation(tmp_path: Path) -> None:
    observer, evaluator = CountingObserver(), RecordingEvaluator()
    evaluations = search(tmp_path / "a.db", evaluator, 40, observer)
    assert len(evaluations) == len(set(evaluator.keys)) == observer.count == 40
    assert observer.generations == [0, 1, 2, 3, 4]


def test_an_interrupted_search_ends_like_an_uninterrupted_one_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    uninterrupted = search(tmp_path / "whole.db", RecordingEvaluator())
    broken: list[str] = []
    for moment in (0, 1, 5, 8, 3, 9):
        evaluator = RecordingEvaluator(dies_at=moment)
        with pytest.raises(UserError, match="power failure"):
            search(tmp_path / "broken.db", evaluator)
        broken += evaluator.keys
    last = RecordingEvaluator()
    resumed = search(tmp_path / "broken.db", last)
    assert list(results(resumed)) == list(results(uninterrupted))
    assert sorted(broken + last.keys) == sorted(e.key for e in uninterrupted)


def test_a_search_resumed_with_a_larger_budget_continues_as_if_never_stopped(
    tmp_path: Path,
) -> None:
    uninterrupted = search(tmp_path / "whole.db", RecordingEvaluator(), budget=40)
    search(tmp_path / "grown.db", RecordingEvaluator(), budget=21)
    evaluator = RecordingEvaluator()
    grown = search(tmp_path / "grown.db", evaluator, budget=40)
    assert list(results(grown)) == list(results(uninterrupted))
    assert len(evaluator.keys) == 19


def test_repeated_exceptions_stop_the_search_and_show_the_traceback(
    tmp_path: Path,
) -> None:
    class Broken(RecordingEvaluator):
        def evaluate(self, candidate: Candidate) -> Score | Failure:
            self.done.append(candidate)
            raise ZeroDivisionError("a bug")

    evaluator = Broken()
    with pytest.raises(SearchError, match=r"(?s)ZeroDivisionError: a bug.*Traceback"):
        search(tmp_path / "a.db", evaluator)
    assert len(evaluator.keys) == 3


def test_a_failed_candidate_does_not_end_the_search(tmp_path: Path) -> None:
    class Flaky(RecordingEvaluator):
        def evaluate(self, candidate: Candidate) -> Score | Failure:
            score = super().evaluate(candidate)
            match len(self.keys) % 4:
                case 0:
                    return Failure(FailureKind.DIVERGED, "nan")
                case 2:
                    raise MemoryError("too much")
                case _:
                    return score

    policies = FailurePolicies(out_of_memory=FailurePolicy(retries=0))
    kinds = [
        e.outcome.kind
        for e in search(tmp_path / "a.db", Flaky(), policies=policies)
        if isinstance(e.outcome, Failure)
    ]
    assert kinds.count(FailureKind.DIVERGED) == 10
    assert kinds.count(FailureKind.OUT_OF_MEMORY) == 10
