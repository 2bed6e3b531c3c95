"""A search, interrupted and resumed."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.store import Store
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.core.errors import UserError
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, InlineSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search.loop import run_search
from recording_evaluator import RecordingEvaluator

PROBLEM = Problem(constraints=Constraints(max_mult_adds=60, min_psnr=27.0))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power failures are not tested here, and hundreds of files are written."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def search(
    folder: Path,
    evaluator: RecordingEvaluator,
    *,
    budget: int = 40,
) -> list[Evaluation]:
    """Search, and return the evaluations."""
    folder.mkdir(exist_ok=True)
    with (
        Store(folder / "search.db", {}) as store,
        InlineExecutor(InlineSettings(), lambda: evaluator) as executor,
    ):
        retrying = RetryingExecutor(executor, FailurePolicies(), store.add_failure)
        controller = NSGA2(NSGA2Settings(population_size=8), PROBLEM, np.random.default_rng(1))
        run_search(controller, retrying, store, budget=budget)
        return store.evaluations()


def found(evaluations: list[Evaluation]) -> list[tuple]:
    """What a search found, without the seconds."""
    return [(e.candidate, s and (s.psnr, s.steps)) for e in evaluations for s in [e.score]]


def interrupted(folder: Path, **settings) -> list[str]:
    """Search with many interruptions, and return the trainings that were finished."""
    trainings: list[str] = []
    for moment in (0, 3, 5, 8, 1, 13, 6, 11, 2, 9, 17, 4):
        evaluator = RecordingEvaluator(dies_at=moment)
        with suppress(UserError):
            search(folder, evaluator, **settings)
        trainings += evaluator.keys
    return trainings


def test_an_interrupted_search_ends_like_an_uninterrupted_one_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    once = RecordingEvaluator()
    uninterrupted = search(tmp_path / "whole", once)
    trainings = interrupted(tmp_path / "broken")
    last = RecordingEvaluator()
    resumed = search(tmp_path / "broken", last)
    assert len(trainings) > 30
    assert found(resumed) == found(uninterrupted)
    assert sorted(trainings + last.keys) == sorted(once.keys)
    assert len(set(once.keys)) == len(once.keys)


def test_a_search_stopped_before_any_write_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = search(tmp_path / "whole", RecordingEvaluator())
    left = 0

    def interrupted(write: Callable[..., None]) -> Callable[..., None]:
        def counted(*arguments) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            write(*arguments)

        return counted

    with monkeypatch.context() as patch:
        for name in ("add", "commit_state"):
            patch.setattr(Store, name, interrupted(getattr(Store, name)))
        for moment in (1, 2, 3, 4, 5, 6, 7, 8, 9, 4, 7, 5, 8, 3, 6, 2, 9, 1):
            left = moment
            with suppress(KeyboardInterrupt):
                search(tmp_path / "broken", RecordingEvaluator())
    resumed = search(tmp_path / "broken", RecordingEvaluator())
    assert found(resumed) == found(uninterrupted)


def test_a_search_resumed_with_a_larger_budget_continues_as_if_never_stopped(
    tmp_path: Path,
) -> None:
    """Also in the middle of a generation."""
    uninterrupted = search(tmp_path / "whole", RecordingEvaluator())
    for budget in (10, 21, 29):
        search(
            tmp_path / "grown",
            RecordingEvaluator(),
            budget=budget,
        )
    grown = search(tmp_path / "grown", RecordingEvaluator())
    assert found(grown) == found(uninterrupted)
