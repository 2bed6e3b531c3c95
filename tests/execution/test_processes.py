"""What processes alone do: workers die, are replaced, are limited, and never outlive their search."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Origin, Score
from falsr_nas.errors import SearchError, UserError
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import MakeEvaluator
from falsr_nas.execution.processes import STARTS, ProcessesExecutor
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


def test_a_worker_that_dies_while_idle_is_replaced_at_no_cost() -> None:
    with processes(FaultyEvaluator) as executor:
        run(executor, range(2))
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        assert all(isinstance(outcome, Score) for outcome in run(executor, range(2, 8)).values())


def test_a_candidate_that_takes_more_memory_than_the_limit_is_out_of_memory() -> None:
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


def test_a_memory_limit_that_no_worker_could_keep_is_a_users_mistake() -> None:
    with (
        pytest.raises(UserError, match="memory_limit is 0.001 GiB, but a worker holds"),
        processes(FaultyEvaluator, memory_limit=0.001),
    ):
        pytest.fail("entered")
    assert not multiprocessing.active_children()


class DiesAtStart(FaultyEvaluator):
    """Dies while it is prepared, but for the first ``healthy`` times; each is counted in the folder of marks."""

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
    with alone(partial(DiesAtStart, tmp_path, 1, STARTS - 1, "kill")) as executor:
        outcomes = run(executor, range(4))
    assert isinstance(outcomes[0], Failure)
    assert all(isinstance(outcomes[number], Score) for number in (1, 2, 3))
    assert len(list(tmp_path.glob("start-*"))) == 1 + STARTS


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("kill", r"the worker died \(SIGKILL\)"),
        ("raise", r"ZeroDivisionError: a bug in preparation"),
    ],
)
def test_replacements_that_always_die_end_the_search_with_what_to_do(
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


def test_workers_are_deaf_to_the_signals_of_the_group() -> None:
    with processes(FaultyEvaluator) as executor:
        for child in multiprocessing.active_children():
            assert child.pid
            os.kill(child.pid, signal.SIGTERM)
            os.kill(child.pid, signal.SIGINT)
        assert all(isinstance(outcome, Score) for outcome in run(executor, range(6)).values())


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


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_gpus_are_those_that_the_user_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
