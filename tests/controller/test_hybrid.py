"""The hybrid controller alone, and in searches that are interrupted and resumed."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.store import Store
from falsr_nas.controller.hybrid import Hybrid
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import (
    ExplorationSettings,
    HybridSettings,
    NSGA2Settings,
    PolicySettings,
)
from falsr_nas.core.errors import UserError
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, InlineSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search.loop import run_search
from recording_evaluator import RecordingEvaluator

PROBLEM = Problem(constraints=Constraints(max_mult_adds=60))
POPULATION = 8


def controller(seed: int = 1, population_size: int = POPULATION, **settings) -> Hybrid:
    policy = PolicySettings(batch_size=4)
    return Hybrid(
        HybridSettings(**{"population_size": population_size, "policy": policy} | settings),
        PROBLEM,
        np.random.default_rng(seed),
    )


class Several(InlineExecutor):
    """Three candidates in flight, which end in random order."""

    capacity = 3
    rng = np.random.default_rng(2)

    def collect(self) -> Evaluation:
        self._queue.rotate(int(self.rng.integers(len(self._queue))))
        return super().collect()


class Watcher:
    def __init__(self) -> None:
        self.generations: list[int] = []
        self.keys: list[str] = []

    def evaluated(self, evaluation: Evaluation) -> None:
        self.keys.append(evaluation.key)

    def generation_ended(self, generation: int) -> None:
        self.generations.append(generation)


def search(
    path: Path,
    evaluator: RecordingEvaluator,
    budget: int = 60,
    executor=InlineExecutor,
    observer: Watcher | None = None,
) -> list:
    with Store(path, {}) as store, executor(InlineSettings(), lambda: evaluator) as workers:
        observers = [observer] if observer else []
        run_search(
            controller(),
            RetryingExecutor(workers, FailurePolicies(), store.add_failure),
            store,
            budget=budget,
            observers=observers,
        )
        return [(e.candidate, e.score and e.score.mse) for e in store.evaluations()]


def state(path: Path) -> dict:
    with Store(path) as store:
        return store.state()


def test_an_interrupted_search_ends_as_the_uninterrupted_one_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    whole = search(tmp_path / "whole.db", RecordingEvaluator())
    broken: list[str] = []
    for moment in (0, 1, 13, 8, 3, 21):
        evaluator = RecordingEvaluator(dies_at=moment)
        with pytest.raises(UserError, match="power failure"):
            search(tmp_path / "broken.db", evaluator)
        broken += evaluator.keys
    last = RecordingEvaluator()
    assert search(tmp_path / "broken.db", last) == whole
    assert sorted(broken + last.keys) == sorted(candidate.key for candidate, _ in whole)
    assert state(tmp_path / "broken.db") == state(tmp_path / "whole.db")
    assert state(tmp_path / "whole.db")["controller"]["policy"]["updates"] > 0
    assert any(candidate.origin.log_prob is not None for candidate, _ in whole)


def test_a_larger_budget_continues_as_one_uninterrupted_search(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole.db", RecordingEvaluator())
    search(tmp_path / "grown.db", RecordingEvaluator(), budget=33)
    assert search(tmp_path / "grown.db", RecordingEvaluator(), budget=60) == whole


def test_the_state_does_not_grow_with_the_search() -> None:
    """It is written with every generation."""
    hybrid, evaluator = (
        controller(population_size=64, policy=PolicySettings()),
        RecordingEvaluator().inner,
    )
    sizes = []
    for _ in range(6):
        hybrid.tell(
            [Evaluation(candidate, evaluator.evaluate(candidate)) for candidate in hybrid.ask(64)]
        )
        sizes.append(len(json.dumps(hybrid.state())))
    assert sizes[-1] < 1.1 * sizes[1]


def test_mutations_are_drawn_with_the_set_probabilities() -> None:
    explore = ExplorationSettings(p_random=0.5, p_flops=0.7)
    hybrid = controller(population_size=64, p_exploit=0.4, p_crossover=0.0, exploration=explore)
    evaluator, last = RecordingEvaluator().inner, Counter()
    hybrid.tell(
        [Evaluation(candidate, evaluator.evaluate(candidate)) for candidate in hybrid.ask(64)]
    )
    for _ in range(4000):
        last[hybrid._child()[1].operators[-1]] += 1
    shares = {"policy": 0.4, "random": 0.3, "roulette_flops": 0.12, "roulette_params": 0.18}
    assert set(last) == set(shares)
    for name, share in shares.items():
        assert abs(last[name] / 4000 - share) < 4 * np.sqrt(share * (1 - share) / 4000)


def test_only_children_of_the_policy_have_a_log_probability() -> None:
    hybrid, evaluator = controller(population_size=32), RecordingEvaluator().inner
    seen = Counter()
    for _ in range(6):
        candidates = hybrid.ask(32)
        for candidate in candidates:
            by_policy = "policy" in candidate.origin.operators
            assert (candidate.origin.log_prob is not None) == by_policy
            assert not by_policy or candidate.origin.log_prob < 0
            seen[by_policy] += 1
        hybrid.tell(
            [Evaluation(candidate, evaluator.evaluate(candidate)) for candidate in candidates]
        )
    assert seen[True] > 20
    assert seen[False] > 20


def test_without_exploitation_the_hybrid_is_plain_nsga2() -> None:
    hybrid, evaluator = controller(p_exploit=0.0), RecordingEvaluator().inner
    plain = NSGA2(
        NSGA2Settings(population_size=POPULATION),
        PROBLEM,
        np.random.default_rng(1),
    )
    for _ in range(6):
        candidates = plain.ask(POPULATION)
        assert hybrid.ask(POPULATION) == candidates
        for one in (plain, hybrid):
            one.tell(
                [Evaluation(candidate, evaluator.evaluate(candidate)) for candidate in candidates]
            )
