"""Tests of the Ray executor: nodes that are added and lost. See also test_conformance.py."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backends import importable_on_nodes
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
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.ray_executor import LOCAL_OBJECT_STORE, RayExecutor
from falsr_nas.execution.settings import (
    EXECUTORS,
    InlineSettings,
    RaySettings,
)
from falsr_nas.objectives.problem import Problem
from falsr_nas.search.loop import run_search
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from faulty_evaluator import FaultyEvaluator
from searching import decorated
from stranded_evaluator import StrandedEvaluator

SPACE = SearchSpace()
PROBLEM = Problem(SPACE)
FAST_HEALTH_CHECK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
}
"""Ray detects a lost node within seconds, instead of half a minute."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimpleNamespace]:
    """A head with room for one worker; ``add()`` adds a node with room for another."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    ray.shutdown()  # the connection of other tests
    with importable_on_nodes():
        nodes = Cluster()
        add = partial(nodes.add_node, num_cpus=1, object_store_memory=LOCAL_OBJECT_STORE)
        add(include_dashboard=False, _system_config=FAST_HEALTH_CHECK)
        yield SimpleNamespace(address=nodes.address, add=add)
        ray.shutdown()
        nodes.shutdown()


def candidate(number: int) -> Candidate:
    genome = SPACE.sample(np.random.default_rng(number))
    return Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)


def search(executor: Executor, path: Path) -> list[Evaluation]:
    settings = NSGA2Settings(population_size=8)
    controller = NSGA2(settings, PROBLEM, np.random.default_rng(1))
    with Store(path, {}) as store:
        run_search(controller, decorated(executor, store), store, budget=40)
        return store.evaluations()


def found(evaluations: list[Evaluation]) -> list[tuple]:
    return [(e.candidate, e.score and (e.score.mse, e.score.psnr)) for e in evaluations]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition, seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def test_a_search_survives_the_loss_of_a_node_and_uses_a_new_one(
    cluster: SimpleNamespace, tmp_path: Path
) -> None:
    doomed = cluster.add()
    raylet = doomed.all_processes["raylet"][0].process
    (tmp_path / "marks").mkdir()
    strand = partial(StrandedEvaluator, raylet.pid, tmp_path / "marks")

    def kill_the_node_when_it_evaluates() -> None:
        wait_until(lambda: any((tmp_path / "marks").iterdir()))
        raylet.kill()
        raylet.wait()  # Ray's workers take a zombie for alive

    with RayExecutor(RaySettings(address=cluster.address), strand) as executor:
        assert executor.capacity == 2
        threading.Thread(target=kill_the_node_when_it_evaluates).start()
        evaluations = search(executor, tmp_path / "ray.db")
        assert executor.capacity == 1
        cluster.add()
        for number in range(1000):
            executor.submit(candidate(number))
            assert isinstance(executor.collect().outcome, Score)
            if executor.capacity == 2:
                break
            time.sleep(0.1)
        assert executor.capacity == 2
    with InlineExecutor(InlineSettings(), FaultyEvaluator) as inline:
        alone = search(inline, tmp_path / "inline.db")
    assert found(evaluations) == found(alone)
    assert [e.key for e in PROBLEM.front(evaluations)] == [e.key for e in PROBLEM.front(alone)]
    with Store(tmp_path / "ray.db") as store:
        (failed,) = store.failures()
    assert (failed.failure.kind, failed.outcome) == (FailureKind.NODE_LOST, AttemptOutcome.RETRIED)
    (stranded,) = (tmp_path / "marks").iterdir()
    assert wait_until(lambda: gone(int(stranded.name))), "a worker outlived its node"


@pytest.mark.slow
def test_a_dead_actor_is_replaced_and_only_its_candidate_fails(cluster: SimpleNamespace) -> None:
    with RayExecutor(
        RaySettings(address=cluster.address, workers=1), partial(FaultyEvaluator, {0: "kill host"})
    ) as executor:
        for number in range(4):
            executor.submit(candidate(number))
        outcomes = {e.candidate.number: e.outcome for e in (executor.collect() for _ in range(4))}
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].kind is FailureKind.WORKER_DIED
    assert all(isinstance(outcomes[number], Score) for number in (1, 2, 3))


@pytest.mark.slow
def test_a_local_ray_can_be_started_in_another_thread() -> None:
    pytest.importorskip("ray").shutdown()  # the connection of other tests
    outcomes = []

    def evaluate() -> None:
        with importable_on_nodes(), RayExecutor(RaySettings(workers=1), FaultyEvaluator) as ray:
            ray.submit(candidate(0))
            outcomes.append(ray.collect().outcome)

    thread = threading.Thread(target=evaluate)
    thread.start()
    thread.join()
    assert isinstance(outcomes[0], Score)


class NotOnTheNodes(FaultyEvaluator):
    """Cannot be unpickled: its module does not exist."""

    def __reduce__(self) -> tuple:
        return import_module, ("no_such_module",)


@pytest.mark.slow
def test_the_search_stops_with_the_reason_if_no_worker_starts(cluster: SimpleNamespace) -> None:
    executor = RayExecutor(RaySettings(address=cluster.address), NotOnTheNodes())
    with (
        pytest.raises(
            SearchError, match=r"(?s)could not be started, 3 times in a row.*ModuleNotFoundError"
        ),
        executor,
    ):
        pytest.fail("entered")


@pytest.mark.slow
def test_all_processes_end_when_the_search_is_killed(tmp_path: Path) -> None:
    """Ray's own agents end a minute later, after they have tried to reach the head."""
    pytest.importorskip("ray")
    mark = f"FALSR_NAS_TEST={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    arguments = (
        "execution=ray",
        "execution.workers=2",
        "evaluator=synthetic",
        "evaluator.seconds=1",
        "tracking=none",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "falsr_nas.search", *arguments, f"run_dir={tmp_path}"],
        env=os.environ | {name: value},
        stderr=subprocess.PIPE,
    )

    def left() -> list[int]:
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/environ")
            if mark.encode() in _read(path)
        ]

    assert process.stderr is not None
    assert b"generation 0" in process.stderr.readline()
    assert len(left()) > 5
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not left(), 150), [
        _read(Path(f"/proc/{pid}/cmdline")) for pid in left()
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'falsr-nas\[ray\]'"):
        EXECUTORS.build(RaySettings(), FaultyEvaluator)


def test_an_address_without_a_cluster_is_a_users_mistake() -> None:
    pytest.importorskip("ray").shutdown()  # the connection of other tests
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(
                UserError,
                match=f"cannot connect to the Ray cluster at execution.address={address}",
            ),
            RayExecutor(RaySettings(address=address), FaultyEvaluator),
        ):
            pytest.fail("entered")
    with (
        pytest.raises(UserError, match=r"execution.address=10\.0\.\.5:6379"),
        RayExecutor(RaySettings(address="10.0..5:6379"), FaultyEvaluator),
    ):
        pytest.fail("entered")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"address": "ray://head:10001"},
            "execution.address is 'ray://head:10001': give auto, host:port",
        ),
        ({"num_cpus": 0}, "execution.num_cpus is 0"),
        ({"num_gpus": 1.5}, "execution.num_gpus is 1.5"),
        ({"num_gpus": 0.5, "devices_per_candidate": 2}, "must agree"),
        ({"devices_per_candidate": 0}, "execution.devices_per_candidate is 0"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        RaySettings(**settings)
