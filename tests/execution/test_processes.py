"""Tests of worker processes: death, replacement, limits, and the end of the search."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Origin, Score
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.core.running_time import RunningTime
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import MakeEvaluator
from falsr_nas.execution.processes import MAX_FAILED_STARTS, ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from faulty_evaluator import FaultyEvaluator


def candidate(number: int) -> Candidate:
    genome = SearchSpace().sample(np.random.default_rng(number))
    return Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)


def processes(make: MakeEvaluator, **settings: float) -> ProcessesExecutor:
    return ProcessesExecutor(ProcessesSettings(workers=2, **settings), make)


def run(executor: ProcessesExecutor, numbers: range) -> dict[int, Score | Failure]:
    for number in numbers:
        executor.submit(candidate(number))
    return {e.candidate.number: e.outcome for e in (executor.collect() for _ in numbers)}


def test_a_worker_that_dies_while_idle_is_replaced() -> None:
    with processes(FaultyEvaluator) as executor:
        run(executor, range(2))
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        assert all(isinstance(outcome, Score) for outcome in run(executor, range(2, 8)).values())


def test_what_a_candidate_started_ends_with_its_worker(tmp_path: Path) -> None:
    log = tmp_path / "log"
    make = partial(FaultyEvaluator, {1: "child"}, log=log)
    with processes(make, time_limit=2.0) as executor:
        outcome = run(executor, range(2))[1]
    assert isinstance(outcome, Failure) and outcome.kind is FailureKind.TIMEOUT
    assert not running(int(log.with_suffix(".pid").read_text()))


def test_what_a_candidate_started_ends_with_a_killed_search(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from test_processes import FaultyEvaluator, candidate, processes\n"
        "if __name__ == '__main__':\n"
        f"    make = partial(FaultyEvaluator, {{0: 'child'}}, log=Path({str(log)!r}))\n"
        "    with processes(make) as executor:\n"
        "        executor.submit(candidate(0))\n"
        "        executor.collect()\n"
    )
    program = tmp_path / "program.py"
    program.write_text(code)
    path = os.pathsep.join(map(str, Path(__file__).parents[:2]))
    process = subprocess.Popen(
        [sys.executable, str(program)], env={**os.environ, "PYTHONPATH": path}
    )
    until = time.monotonic() + 100
    while not (pid := log.with_suffix(".pid")).exists() or not pid.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while running(int(pid.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not running(int(pid.read_text()))


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_candidate_above_the_memory_limit_is_out_of_memory() -> None:
    with processes(
        partial(FaultyEvaluator, {1: "greed", 4: "greed"}), memory_limit=0.7
    ) as executor:
        outcomes = run(executor, range(6))
    failed = {
        number: outcome for number, outcome in outcomes.items() if isinstance(outcome, Failure)
    }
    assert {number: failure.kind for number, failure in failed.items()} == dict.fromkeys(
        (1, 4), FailureKind.OUT_OF_MEMORY
    )
    assert "execution.memory_limit is 0.7" in failed[1].message


def test_a_memory_limit_below_an_idle_worker_is_a_users_mistake() -> None:
    with (
        pytest.raises(UserError, match="memory_limit is 0.001 GiB, but a worker uses"),
        processes(FaultyEvaluator, memory_limit=0.001),
    ):
        pytest.fail("entered")
    assert not multiprocessing.active_children()


class DiesAtStart(FaultyEvaluator):
    """Fails in ``prepare`` after ``healthy`` successes, ``sick`` times.

    Each start is counted by a file in the folder ``marks``.
    """

    def __init__(self, marks: Path, healthy: int, sick: int, how: str) -> None:
        super().__init__({0: "kill"}, marks)
        self.healthy, self.sick, self.how = healthy, sick, how

    def prepare(self) -> None:
        assert self.marks is not None
        count = len(list(self.marks.glob("start-*")))
        (self.marks / f"start-{os.getpid()}").touch()
        if self.healthy <= count < self.healthy + self.sick:
            if self.how == "raise":
                raise ZeroDivisionError("a bug in preparation")
            os.kill(os.getpid(), signal.SIGKILL)


def alone(make: MakeEvaluator) -> ProcessesExecutor:
    return ProcessesExecutor(ProcessesSettings(workers=1), make)


def test_a_replacement_that_dies_while_it_starts_is_replaced(tmp_path: Path) -> None:
    with alone(partial(DiesAtStart, tmp_path, 1, MAX_FAILED_STARTS - 1, "kill")) as executor:
        outcomes = run(executor, range(4))
    assert isinstance(outcomes[0], Failure)
    assert all(isinstance(outcomes[number], Score) for number in (1, 2, 3))
    assert len(list(tmp_path.glob("start-*"))) == 1 + MAX_FAILED_STARTS


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("kill", r"the worker died \(SIGKILL\)"),
        ("raise", r"ZeroDivisionError: a bug in preparation"),
    ],
)
def test_the_search_stops_if_a_worker_cannot_be_started(
    tmp_path: Path, how: str, says: str
) -> None:
    with alone(partial(DiesAtStart, tmp_path, 1, 99, how)) as executor:
        executor.submit(candidate(0))
        executor.submit(candidate(1))
        assert isinstance(executor.collect().outcome, Failure)
        with pytest.raises(
            SearchError,
            match=rf"worker 0 could not be started, 3 times in a row: {says}.*execution\.workers",
        ):
            executor.collect()
    with (
        pytest.raises(SearchError, match="could not be started"),
        alone(partial(DiesAtStart, tmp_path, 0, 99, how)),
    ):
        pytest.fail("entered")
    assert not multiprocessing.active_children()


def test_workers_ignore_the_signals_of_the_process_group() -> None:
    with processes(FaultyEvaluator) as executor:
        for child in multiprocessing.active_children():
            assert child.pid
            os.kill(child.pid, signal.SIGTERM)
            os.kill(child.pid, signal.SIGINT)
        assert all(isinstance(outcome, Score) for outcome in run(executor, range(6)).values())


def test_workers_end_when_the_search_is_killed() -> None:
    code = (
        "import os, multiprocessing, sys; sys.path.insert(0, sys.argv[1])\n"
        "from faulty_evaluator import FaultyEvaluator\n"
        "from falsr_nas.execution.processes import ProcessesExecutor\n"
        "from falsr_nas.execution.settings import ProcessesSettings\n"
        "if __name__ == '__main__':\n"
        "    ProcessesExecutor(ProcessesSettings(workers=2), FaultyEvaluator).__enter__()\n"
        "    print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    here = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, here], capture_output=True, text=True, check=False, timeout=60
    )
    workers = [int(pid) for pid in done.stdout.split()]
    assert len(workers) == 2, done.stderr
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < until, "a worker outlived its search"
        time.sleep(0.05)


SCRIPT = """
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings

class MyEvaluator(SyntheticEvaluator):
    def __init__(self):
        super().__init__(SyntheticSettings(), 1)

with ProcessesExecutor(ProcessesSettings(workers=1), MyEvaluator):
    print("entered")
"""


def test_an_evaluator_defined_in_a_script_is_rejected_and_named(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(
        "falsr_nas.core.errors.UserError: MyEvaluator is defined in the script or notebook"
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_visible_gpus_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_a_worker_of_somebodys_pool_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(UserError, match="a multiprocessing pool: use execution=inline"):
        processes(FaultyEvaluator)


def test_the_default_number_of_workers_is_what_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "falsr_nas.execution.processes."
    monkeypatch.setattr(f"{module}visible_gpus", list)
    for cores, memory, expected in ((6, 2**40, 6), (99, 2**40, 8), (6, 3 * 2**30, 3), (6, 1, 1)):
        monkeypatch.setattr(f"{module}usable_cores", lambda cores=cores: cores)
        monkeypatch.setattr(f"{module}usable_memory", lambda memory=memory: memory)
        assert ProcessesExecutor(ProcessesSettings(), FaultyEvaluator).capacity == expected


def test_only_the_time_that_the_search_runs_counts_for_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RunningTime, "__call__", lambda clock: 0.0)  # as if it was suspended
    with processes(FaultyEvaluator, time_limit=1e-9) as executor:
        assert all(isinstance(outcome, Score) for outcome in run(executor, range(2)).values())


def test_a_large_candidate_for_a_frozen_worker_has_the_time_limit() -> None:
    """Its message does not fit into the pipe, so that sending it would wait for ever."""
    large = replace(candidate(0), origin=Origin(("x" * 4_000_000,)))
    with processes(FaultyEvaluator, time_limit=2.0) as executor:
        children = multiprocessing.active_children()
        for child in children:
            os.kill(child.pid or 0, signal.SIGSTOP)
        executor.submit(large)
        outcome = executor.collect().outcome
    assert isinstance(outcome, Failure) and outcome.kind is FailureKind.TIMEOUT


def test_a_search_in_which_nothing_ends_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("falsr_nas.execution.processes.QUIET_SECONDS", 0.2)
    with processes(FaultyEvaluator) as executor:
        children = multiprocessing.active_children()
        for child in children:
            os.kill(child.pid or 0, signal.SIGSTOP)
        executor.submit(candidate(0))

        def go_on() -> None:
            time.sleep(1.0)
            for child in children:
                os.kill(child.pid or 0, signal.SIGCONT)

        threading.Thread(target=go_on).start()
        assert isinstance(executor.collect().outcome, Score)
    assert 1 <= caplog.text.count("no evaluation has ended for") <= 4
