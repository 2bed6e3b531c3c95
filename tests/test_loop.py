from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Score
from falsr_nas.archive.store import Store
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import Constraints, NSGA2Settings
from falsr_nas.errors import SearchError, UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.execution.executor import InlineExecutor
from falsr_nas.execution.settings import FailurePolicies, FailurePolicy, InlineSettings
from falsr_nas.loop import run_search
from falsr_nas.space.search_space import SearchSpace


class Watched:
    """The synthetic evaluator; counts evaluations and, on demand, dies in one."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.inner = SyntheticEvaluator(SyntheticSettings(), seed=1)
        self.keys: list[str] = []
        self.dies_at = dies_at

    def prepare(self) -> None: ...

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        if len(self.keys) == self.dies_at:
            raise UserError(
                "the power fails"
            )  # the one kind of exception that an executor lets through
        self.keys.append(candidate.key)
        return self.inner.evaluate(candidate)


class Watcher:
    def __init__(self) -> None:
        self.generations: list[int] = []
        self.count = 0

    def evaluated(self, evaluation: Evaluation) -> None:
        self.count += 1

    def generation_ended(self, generation: int) -> None:
        self.generations.append(generation)


def search(
    path: Path,
    evaluator: Watched,
    budget: int = 40,
    observer: Watcher | None = None,
    policies: FailurePolicies | None = None,
) -> list[Evaluation]:
    controller = NSGA2(
        NSGA2Settings(population_size=8),
        SearchSpace(),
        Constraints(max_mult_adds=60),
        np.random.default_rng(1),
    )
    observers = [observer] if observer else []
    with Store(path, {}) as store, InlineExecutor(InlineSettings(), lambda: evaluator) as executor:
        run_search(
            controller,
            executor,
            store,
            budget=budget,
            population_size=8,
            policies=policies,
            observers=observers,
        )
        return store.evaluations()


def results(evaluations: list[Evaluation]) -> Iterator[tuple]:
    return ((e.candidate, e.score and e.score.mse) for e in evaluations)


def test_a_search_spends_its_budget_and_tells_each_generation(tmp_path: Path) -> None:
    watcher, evaluator = Watcher(), Watched()
    evaluations = search(tmp_path / "a.db", evaluator, 40, watcher)
    assert len(evaluations) == len(set(evaluator.keys)) == watcher.count == 40
    assert watcher.generations == [0, 1, 2, 3, 4]


def test_a_search_broken_anywhere_ends_as_the_unbroken_one_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    whole = search(tmp_path / "whole.db", Watched())
    broken: list[str] = []
    for moment in (0, 1, 5, 8, 3, 9):
        evaluator = Watched(dies_at=moment)
        with pytest.raises(UserError, match="power"):
            search(tmp_path / "broken.db", evaluator)
        broken += evaluator.keys
    last = Watched()
    resumed = search(tmp_path / "broken.db", last)
    assert list(results(resumed)) == list(results(whole))
    assert sorted(broken + last.keys) == sorted(e.key for e in whole)


def test_a_larger_budget_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole.db", Watched(), budget=40)
    search(tmp_path / "grown.db", Watched(), budget=21)
    evaluator = Watched()
    grown = search(tmp_path / "grown.db", evaluator, budget=40)
    assert list(results(grown)) == list(results(whole))
    assert len(evaluator.keys) == 19


def test_the_same_exception_again_and_again_ends_the_search_with_its_traceback(
    tmp_path: Path,
) -> None:
    class Broken(Watched):
        def evaluate(self, candidate: Candidate) -> Score | Failure:
            self.keys.append(candidate.key)
            raise ZeroDivisionError("a bug")

    evaluator = Broken()
    with pytest.raises(SearchError, match=r"(?s)ZeroDivisionError: a bug.*Traceback"):
        search(tmp_path / "a.db", evaluator)
    assert len(evaluator.keys) == 3


def test_a_failed_candidate_does_not_end_the_search(tmp_path: Path) -> None:
    class Flaky(Watched):
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
