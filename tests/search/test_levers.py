"""The search with rungs and fresh scores, interrupted and resumed."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import (
    Candidate,
    Evaluation,
    Failure,
    FailureKind,
    Score,
    Trained,
)
from falsr_nas.archive.store import Store
from falsr_nas.archive.weights import WeightsFolder
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import Mode, NSGA2Settings
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies, InlineSettings
from falsr_nas.objectives.fresh import reported_evaluations
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search.fresh import score_front_again
from falsr_nas.search.loop import run_search
from falsr_nas.search.rungs import RUNGS as EXECUTORS
from falsr_nas.search.rungs import RungTrainings
from falsr_nas.training.settings import RungSettings, TrainingSettings

TRAINING = TrainingSettings(epochs=8, steps_per_epoch=10)
RUNGS = RungSettings((2, 4), (0.5, 0.25))
PROBLEM = Problem(constraints=Constraints(max_mult_adds=60, min_psnr=27.0))

LEVERS = {
    "rungs": {"rungs": RUNGS},
    "fresh": {"fresh_scores": 2},
    "all": {"rungs": RUNGS, "fresh_scores": 2},
}
every_lever = pytest.mark.parametrize("levers", LEVERS.values(), ids=LEVERS)
every_mode = pytest.mark.parametrize("mode", Mode)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power failures are not tested here, and hundreds of files are written."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class RecordingEvaluator:
    """The synthetic evaluator; records what it evaluates and fails at evaluation ``dies_at``."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.inner = SyntheticEvaluator(SyntheticSettings(), 1, TRAINING)
        self.done: list[Candidate] = []
        self.dies_at = dies_at

    def prepare(self) -> None: ...

    def evaluate(self, candidate: Candidate) -> Score | Trained | Failure:
        if len(self.done) == self.dies_at:
            raise UserError("power failure")  # executors raise only errors of this kind
        self.done.append(candidate)
        return self.inner.evaluate(candidate)

    @property
    def trainings(self) -> list[tuple[str, int, int]]:
        return [(one.key, one.plan.rung, one.plan.repeat) for one in self.done]


def search(
    folder: Path,
    evaluator: RecordingEvaluator,
    *,
    mode: Mode = Mode.generational,
    budget: int = 40,
    rungs: RungSettings = RungSettings(),  # noqa: B008
    fresh_scores: int = 0,
) -> list[Evaluation]:
    """Search, and return the reported evaluations."""
    folder.mkdir(exist_ok=True)
    with (
        Store(folder / "search.db", {}) as store,
        InlineExecutor(InlineSettings(), lambda: evaluator) as executor,
    ):
        retrying = RetryingExecutor(executor, FailurePolicies(), store.add_failure)
        weights = WeightsFolder(folder / "weights")
        trainings = RungTrainings(retrying, weights, rungs, TRAINING.epochs)
        trained = EXECUTORS[mode](trainings, store, PROBLEM)
        controller = NSGA2(NSGA2Settings(population_size=8), PROBLEM, np.random.default_rng(1))
        run_search(controller, trained, store, budget=budget, mode=mode, observers=[trained])
        score_front_again(retrying, store, PROBLEM, fresh_scores, trainings.whole)
        return reported_evaluations(store, PROBLEM)


def found(evaluations: list[Evaluation]) -> list[tuple]:
    """What a search found, without the seconds."""
    return [
        (e.candidate, e.rung, s and (s.psnr, s.steps, s.count, s.deviation))
        for e in evaluations
        for s in [e.score]
    ]


def interrupted(folder: Path, **settings) -> list[tuple[str, int, int]]:
    """Search with many interruptions, and return the trainings that were finished."""
    trainings: list[tuple[str, int, int]] = []
    for moment in (0, 3, 5, 8, 1, 13, 6, 11, 2, 9, 17, 4):
        evaluator = RecordingEvaluator(dies_at=moment)
        with suppress(UserError):
            search(folder, evaluator, **settings)
        trainings += evaluator.trainings
    return trainings


@every_mode
@every_lever
def test_an_interrupted_search_ends_like_an_uninterrupted_one_and_repeats_nothing(
    tmp_path: Path, levers: dict, mode: Mode
) -> None:
    once = RecordingEvaluator()
    uninterrupted = search(tmp_path / "whole", once, mode=mode, **levers)
    trainings = interrupted(tmp_path / "broken", mode=mode, **levers)
    last = RecordingEvaluator()
    resumed = search(tmp_path / "broken", last, mode=mode, **levers)
    assert len(trainings) > 30
    assert found(resumed) == found(uninterrupted)
    assert sorted(trainings + last.trainings) == sorted(once.trainings)
    assert len(set(once.trainings)) == len(once.trainings)


@pytest.mark.parametrize("levers", [{"rungs": RUNGS}, LEVERS["fresh"]], ids=["rungs", "fresh"])
def test_a_search_stopped_between_two_writes_loses_nothing(
    tmp_path: Path, levers: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score of a rung and the evaluation are two writes; the second one is interrupted."""
    uninterrupted = search(tmp_path / "whole", RecordingEvaluator(), **levers)
    add, left = Store.add, 0

    def interrupted_add(store: Store, evaluation: Evaluation) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        add(store, evaluation)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", interrupted_add)
        for moment in (6, 0, 6, 0, 7, 3, 1):  # of 8 writes the last 2 are of the last rung
            left = moment
            with suppress(KeyboardInterrupt):
                search(tmp_path / "broken", RecordingEvaluator(), **levers)
    resumed = search(tmp_path / "broken", RecordingEvaluator(), **levers)
    assert found(resumed) == found(uninterrupted)


@every_mode
@every_lever
def test_a_search_stopped_before_any_write_ends_like_an_uninterrupted_one(
    tmp_path: Path, levers: dict, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = search(tmp_path / "whole", RecordingEvaluator(), mode=mode, **levers)
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
        for name in ("add", "add_score", "commit_state"):
            patch.setattr(Store, name, interrupted(getattr(Store, name)))
        for moment in (1, 2, 3, 4, 5, 6, 7, 8, 9, 4, 7, 5, 8, 3, 6, 2, 9, 1):
            left = moment
            with suppress(KeyboardInterrupt):
                search(tmp_path / "broken", RecordingEvaluator(), mode=mode, **levers)
    resumed = search(tmp_path / "broken", RecordingEvaluator(), mode=mode, **levers)
    assert found(resumed) == found(uninterrupted)


@every_mode
@every_lever
def test_a_search_resumed_with_a_larger_budget_continues_as_if_never_stopped(
    tmp_path: Path, levers: dict, mode: Mode
) -> None:
    """Also in the middle of a generation, where halving had compared fewer candidates."""
    uninterrupted = search(tmp_path / "whole", RecordingEvaluator(), mode=mode, **levers)
    for budget in (10, 21, 29):
        search(tmp_path / "grown", RecordingEvaluator(), mode=mode, budget=budget, **levers)
    grown = search(tmp_path / "grown", RecordingEvaluator(), mode=mode, **levers)
    assert found(grown) == found(uninterrupted)


@every_mode
@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_without_the_weights_of_a_rung_a_candidate_is_trained_anew_with_the_same_result(
    tmp_path: Path, mode: Mode, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    uninterrupted = search(tmp_path / "whole", RecordingEvaluator(), mode=mode, rungs=RUNGS)
    with pytest.raises(UserError):
        search(tmp_path / "broken", RecordingEvaluator(dies_at=23), mode=mode, rungs=RUNGS)
    files = list((tmp_path / "broken/weights").iterdir())
    assert files
    for file in files:
        file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:-2])
    evaluator = RecordingEvaluator()
    with caplog.at_level(logging.WARNING):
        resumed = search(tmp_path / "broken", evaluator, mode=mode, rungs=RUNGS)
    assert found(resumed) == found(uninterrupted)
    again = [one.plan.epochs for one in evaluator.done if len(one.plan.epochs) > 1]
    assert set(again) <= {(2, 2), (2, 2, 4)}
    assert len(caplog.messages) == len(again) > 0


def test_rungs_train_the_better_ones_on(tmp_path: Path) -> None:
    evaluator = RecordingEvaluator()
    evaluations = search(tmp_path, evaluator, rungs=RUNGS)
    for generation in range(5):
        mine = [one for one in evaluations if one.candidate.generation == generation]
        assert sorted(one.rung for one in mine) == [0] * 4 + [1] * 2 + [2] * 2
        with Store(tmp_path / "search.db") as store:
            scores = store.rung_scores()
        first = [Evaluation(e.candidate, scores[e.key, 0]) for e in mine]
        best = {one.key for one in PROBLEM.ranked(first)[:4]}
        assert {one.key for one in mine if one.rung > 0} == best
    assert [one.score.steps for one in evaluations if one.score] == [
        (20, 40, 80)[one.rung] for one in evaluations
    ]
    going_on = [one for one in evaluator.done if one.plan.rung == 2]
    assert all(one.plan.start and one.plan.start.steps == 40 for one in going_on)
    assert all(one.plan.epochs == (4,) for one in going_on)
    assert not list((tmp_path / "weights").iterdir())  # nothing goes on from them any more


def test_without_waiting_about_as_many_go_on(tmp_path: Path) -> None:
    evaluations = search(tmp_path, RecordingEvaluator(), mode=Mode.steady, rungs=RUNGS)
    reached = [sum(one.rung >= rung for one in evaluations) for rung in (0, 1, 2)]
    assert reached[0] == 40
    assert 20 <= reached[1] < 40
    assert 10 <= reached[2] < reached[1]


def test_weights_are_written_only_where_a_lever_needs_them(tmp_path: Path) -> None:
    search(tmp_path / "off", RecordingEvaluator())
    search(tmp_path / "fresh", RecordingEvaluator(), fresh_scores=2)
    assert not (tmp_path / "off/weights").exists()
    assert not (tmp_path / "fresh/weights").exists()
    with Store(tmp_path / "off/search.db") as store:
        assert store.rung_scores() == {}


@every_lever
def test_the_members_of_the_front_get_fresh_scores_of_whole_trainings(
    tmp_path: Path, levers: dict
) -> None:
    evaluator = RecordingEvaluator()
    evaluations = search(tmp_path, evaluator, **levers)
    front = PROBLEM.front(evaluations)
    assert len(front) > 3
    if "fresh_scores" not in levers:
        assert all(one.score.count == 1 for one in evaluations if one.score)
        return
    assert all(one.score and one.score.count == 2 and one.score.deviation for one in front)
    again = [one for one in evaluator.done if one.plan.repeat]
    assert {one.key for one in front} <= {one.key for one in again}
    whole = (2, 2, 4) if "rungs" in levers else (8,)
    assert {one.plan.epochs for one in again} == {whole}
    assert all(one.plan.start is None for one in again)


def test_a_rung_that_fails_gives_the_candidate_up(tmp_path: Path) -> None:
    class Diverging(RecordingEvaluator):
        def evaluate(self, candidate: Candidate) -> Score | Trained | Failure:
            outcome = super().evaluate(candidate)
            failed = candidate.plan.rung == 1 and candidate.number % 2
            return Failure(FailureKind.DIVERGED, "nan") if failed else outcome

    once = search(tmp_path / "whole", Diverging(), rungs=RUNGS)
    assert {one.rung for one in once if one.score is None} == {1}
    for moment in (5, 9, 2, 14, 11, 13):
        with pytest.raises(UserError):
            search(tmp_path / "broken", Diverging(dies_at=moment), rungs=RUNGS)
    assert found(search(tmp_path / "broken", Diverging(), rungs=RUNGS)) == found(once)
