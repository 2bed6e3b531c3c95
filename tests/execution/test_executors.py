"""One suite for every executor, and the faults that only processes survive."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from falsr_nas.candidate import Candidate, Failure, FailureKind, Origin, Score
from falsr_nas.errors import UserError
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import Executor, InlineExecutor, MakeEvaluator
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.space.cost import cost
from falsr_nas.space.genome import Genome
from faulty_evaluator import FaultyEvaluator

GOOD, DIVERGED, EXCEPTION = "conv_f16_k3_b1_noskip", "conv_f16_k1_b1_noskip", "conv_f48_k3_b1_noskip"
KILL, LOOP = "conv_f32_k3_b1_noskip", "conv_f64_k3_b1_noskip"


def candidate(number: int, text: str = GOOD) -> Candidate:
    genome = Genome.parse(text)
    return Candidate(genome, cost(genome), Origin(("initial",)), 0, number)


def processes(make: MakeEvaluator, time_limit: float | None = None) -> ProcessesExecutor:
    return ProcessesExecutor(ProcessesSettings(workers=2, time_limit=time_limit), make)


executors = pytest.mark.parametrize("build", [InlineExecutor, processes])


def run(executor: Executor, candidates: list[Candidate]) -> dict[int, Score | FailureKind]:
    for one in candidates:
        executor.submit(one)
    ended = [executor.collect() for _ in candidates]
    assert {evaluation.candidate.number for evaluation in ended} == {one.number for one in candidates}
    return {e.candidate.number: e.outcome.kind if isinstance(e.outcome, Failure) else e.outcome for e in ended}


@executors
def test_every_candidate_comes_back_once_with_its_outcome(build) -> None:
    with build(FaultyEvaluator) as executor:
        outcomes = run(executor, [candidate(i, DIVERGED if i == 3 else EXCEPTION if i == 5 else GOOD) for i in range(9)])
        assert outcomes[3] is FailureKind.DIVERGED
        assert outcomes[5] is FailureKind.BUG
        assert all(outcomes[i] == Score(100.0 + i, 28.0, 0.1) for i in (0, 1, 2, 4, 6, 7, 8))
        assert run(executor, [candidate(20)]) == {20: Score(120.0, 28.0, 0.1)}


@executors
def test_a_users_mistake_is_raised_before_anything_runs(build) -> None:
    with pytest.raises(UserError, match="no images in nowhere"), build(partial(FaultyEvaluator, refuse=True)):
        pytest.fail("entered")
    assert not multiprocessing.active_children()


def test_a_killed_worker_costs_its_candidate_only() -> None:
    with processes(FaultyEvaluator) as executor:
        outcomes = run(executor, [candidate(i, KILL if i in (1, 4) else GOOD) for i in range(8)])
        assert [i for i, outcome in outcomes.items() if outcome is FailureKind.WORKER_DIED] in ([1, 4], [4, 1])
        assert sum(isinstance(outcome, Score) for outcome in outcomes.values()) == 6
    assert not multiprocessing.active_children()


def test_an_endless_candidate_is_ended_at_its_time_limit() -> None:
    began = time.monotonic()
    with processes(FaultyEvaluator, time_limit=1.0) as executor:
        outcomes = run(executor, [candidate(i, LOOP if i == 0 else GOOD) for i in range(5)])
    assert outcomes[0] is FailureKind.TIMEOUT
    assert sum(isinstance(outcome, Score) for outcome in outcomes.values()) == 4
    assert time.monotonic() - began < 60


def test_a_worker_that_died_while_idle_is_replaced() -> None:
    with processes(FaultyEvaluator) as executor:
        run(executor, [candidate(0), candidate(1)])
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        outcomes = run(executor, [candidate(i) for i in range(2, 8)])
        assert sum(isinstance(outcome, Score) for outcome in outcomes.values()) >= 4
        assert all(isinstance(o, Score) or o is FailureKind.WORKER_DIED for o in outcomes.values())


def test_leaving_ends_what_runs() -> None:
    with processes(FaultyEvaluator) as executor:
        executor.submit(candidate(0, LOOP))
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_workers_die_with_the_search() -> None:
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
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    done = subprocess.run([sys.executable, "-c", code, here], capture_output=True, text=True, check=False, timeout=60)
    workers = [int(pid) for pid in done.stdout.split()]
    assert len(workers) == 2, done.stderr
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < until, "a worker outlived its search"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_gpus_are_those_that_the_user_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
