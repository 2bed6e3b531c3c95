from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import pytest
from rich.console import Console

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.objectives.summary import SearchSummary, summarise
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.tracking.progress import Progress, SearchMonitor
from falsr_nas.tracking.tracker import Tracker

SPACE = SearchSpace(n=2)
PROBLEM = Problem(SPACE, constraints=Constraints(min_psnr=25.0))
NOTHING = SearchSummary(-1, 0, 0, None, 0.0, 0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class RecordingTracker(Tracker):
    def __init__(self) -> None:
        self.generations: list[tuple[SearchSummary, float | None]] = []
        self.ends: list[tuple[list[Evaluation], Problem]] = []

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        self.generations.append((summary, candidates_per_hour))

    def finish(self, evaluations: Sequence[Evaluation], problem: Problem) -> None:
        self.ends.append((list(evaluations), problem))


def evaluation(number: int, psnr: float | None = 30.0, generation: int = 0) -> Evaluation:
    genome = SPACE.sample(np.random.default_rng(number))
    outcome = (
        Failure(FailureKind.DIVERGED, "nan")
        if psnr is None
        else Score(255**2 / 10 ** (psnr / 10), psnr, 1.0)
    )
    return Evaluation(
        Candidate(genome, genome_cost(genome), Origin(("initial",)), generation, number), outcome
    )


def plain() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=80), file


def test_lines_are_printed_without_a_terminal() -> None:
    clock, (console, file) = Clock(), plain()
    with Progress(console, clock) as progress:
        progress.start(20, NOTHING)
        for number, psnr in enumerate([28.0, 31.256, None, 30.0]):
            clock.now += 2
            progress.evaluated(evaluation(number, psnr))
        assert file.getvalue() == ""  # no line per candidate
        progress.generation(SearchSummary(0, 4, 1, 31.256, 0.41234, 3))
    assert file.getvalue() == (
        "generation 0  candidates 4/20  per hour 1800  left 0:00:32"
        "  hypervolume 0.4123  best PSNR 31.26 dB  failures 1\n"
    )


def test_lines_are_printed_during_a_long_generation() -> None:
    clock, (console, file) = Clock(), plain()
    progress = Progress(console, clock, seconds=30)
    progress.start(100, NOTHING)
    for number in range(7):
        clock.now += 10
        progress.evaluated(evaluation(number, 20.0 + number, generation=2))
    lines = file.getvalue().splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["generation 2", "candidates 3/100"],
        ["generation 2", "candidates 6/100"],
    ]
    assert "best PSNR 25.00 dB" in lines[1]


def test_the_rate_counts_this_process_only() -> None:
    clock, (console, _) = Clock(), plain()
    progress = Progress(console, clock)
    clock.now += 500  # before the search starts
    progress.start(110, SearchSummary(5, 90, 2, 33.0, 0.5, 9))
    assert progress.candidates_per_hour is None
    assert progress.seconds_left is None
    for number in range(10):
        clock.now += 36
        progress.evaluated(evaluation(number))
    assert progress.candidates_per_hour == pytest.approx(100)
    assert progress.seconds_left == pytest.approx(10 * 36)


def test_the_panel_of_a_long_search_fits_80_columns() -> None:
    clock, (console, file) = Clock(), plain()
    progress = Progress(console, clock)
    progress.start(10_000, SearchSummary(78, 5_000, 120, 30.123, 0.41234, 99))
    clock.now += 60
    progress.evaluated(evaluation(0, generation=78))
    progress.evaluated(evaluation(1, generation=78))
    console.print(progress._panel())
    names, values = file.getvalue().splitlines()[-2:]
    assert "…" not in names + values
    assert values.split()[:4] == ["78", "5002/10000", "120", "41:39:00"]


def test_a_resumed_search_keeps_its_counts() -> None:
    clock, (console, file) = Clock(), plain()
    progress = Progress(console, clock, seconds=0)
    progress.start(10, SearchSummary(1, 8, 2, 33.0, 0.5, 4))
    clock.now += 1
    progress.evaluated(evaluation(0, None, generation=2))
    assert "generation 2  candidates 9/10" in file.getvalue()
    assert "hypervolume 0.5000  best PSNR 33.00 dB  failures 3" in file.getvalue()


def test_failures_are_shown_by_kind_with_retries() -> None:
    clock, (console, file) = Clock(), plain()
    progress = Progress(console, clock, seconds=0)
    progress.start(10, SearchSummary(1, 8, 2, 33.0, 0.5, 4, {"timeout": 2}, 1))
    clock.now += 1
    failed = evaluation(0, None, generation=2)
    progress.evaluated(
        Evaluation(failed.candidate, failed.outcome, (Failure(FailureKind.TIMEOUT, "slow"),))
    )
    assert file.getvalue().rstrip().endswith("failures 3 (2 timeout, 1 diverged, 2 retries)")
    console.print(progress._panel())
    assert file.getvalue().splitlines()[-1].strip() == "failures: 2 timeout, 1 diverged, 2 retries"


def test_a_panel_in_a_terminal() -> None:
    file = io.StringIO()
    clock = Clock()
    with Progress(
        Console(file=file, force_terminal=True, width=80, color_system="standard"), clock
    ) as progress:
        progress.start(8, NOTHING)
        clock.now += 1
        progress.evaluated(evaluation(0, 29.5))
        progress.generation(SearchSummary(0, 1, 0, 29.5, 0.25, 1))
    shown = file.getvalue()
    assert shown.endswith("\x1b[?25h")  # the cursor is visible again
    bar, names, values = [
        line.strip() for line in re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown).splitlines()
    ][-3:]
    assert len(bar) == 80
    assert re.split(r"\s{2,}", names) == [
        "generation",
        "candidates",
        "per hour",
        "left",
        "hypervolume",
        "best PSNR",
        "failures",
    ]
    assert re.split(r"\s{2,}", values) == ["0", "1/8", "3600", "0:00:07", "0.2500", "29.50 dB", "0"]


def test_the_panel_stops_when_the_search_is_interrupted() -> None:
    file = io.StringIO()
    with (
        pytest.raises(KeyboardInterrupt),
        Progress(Console(file=file, force_terminal=True)) as progress,
    ):
        progress.start(8, NOTHING)
        raise KeyboardInterrupt
    assert file.getvalue().endswith("\x1b[?25h")


def test_the_monitor_reports_the_same_to_progress_and_tracker() -> None:
    clock, (console, file), tracker = Clock(), plain(), RecordingTracker()
    before = [evaluation(0, 30.0), evaluation(1, 24.0)]
    monitor = SearchMonitor(Progress(console, clock), tracker, PROBLEM, total=6, evaluations=before)
    known = list(before)
    for number, psnr in ((2, 31.0), (3, None)):
        clock.now += 10
        known.append(evaluation(number, psnr, generation=1))
        monitor.evaluated(known[-1])
    monitor.generation_ended(1)
    assert tracker.generations == [(summarise(known, PROBLEM), pytest.approx(360))]
    expected = f"hypervolume {summarise(known, PROBLEM).hypervolume:.4f}"
    assert f"candidates 4/6  per hour 360  left 0:00:20  {expected}" in file.getvalue()

    known.append(evaluation(4, 29.0, generation=2))  # the budget ends within generation 2
    monitor.evaluated(known[-1])
    monitor.finish()
    assert tracker.generations[1][0] == summarise(known, PROBLEM)
    assert tracker.ends == [(known, PROBLEM)]


def test_lines_within_the_first_generation_have_its_hypervolume() -> None:
    clock, (console, file) = Clock(), plain()
    progress = Progress(console, clock, seconds=30)
    monitor = SearchMonitor(progress, Tracker(), PROBLEM, total=6)
    known = [evaluation(number, 28.0 + number) for number in range(3)]
    for one in known:
        monitor.evaluated(one)
    clock.now += 40
    known.append(evaluation(3, 33.0))
    monitor.evaluated(known[-1])
    expected = summarise(known, PROBLEM).hypervolume
    assert expected > 0
    assert f"candidates 4/6  per hour 360  left 0:00:20  hypervolume {expected:.4f}" in (
        file.getvalue()
    )


def test_the_monitor_of_a_finished_search_reports_no_generation_twice() -> None:
    console, file = plain()
    tracker = RecordingTracker()
    SearchMonitor(
        Progress(console), tracker, PROBLEM, total=1, evaluations=[evaluation(0)]
    ).finish()
    assert tracker.generations == []
    assert tracker.ends[0][0] == [evaluation(0)]
    assert file.getvalue() == ""
