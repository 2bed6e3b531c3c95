"""Every executor, for the suites that all of them must pass: a new one is one more entry here."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from falsr_nas.execution.executor import Executor, InlineExecutor, MakeEvaluator
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.ray_executor import LOCAL_OBJECT_STORE, RayExecutor
from falsr_nas.execution.settings import InlineSettings, ProcessesSettings, RaySettings


@dataclass(frozen=True)
class Backend:
    """An executor as tests need it.

    Attributes:
        name: of ``execution=...``.
        build: the executor of an evaluator, with a time limit in seconds, two workers where it can
            have several.
        isolated: whether a candidate may kill, block or fill up its process without ending the
            search.
    """

    name: str
    build: Callable[[MakeEvaluator, float | None], Executor]
    isolated: bool


def _inline(make: MakeEvaluator, time_limit: float | None = None) -> Executor:
    return InlineExecutor(InlineSettings(), make)


def _processes(make: MakeEvaluator, time_limit: float | None = None) -> Executor:
    return ProcessesExecutor(ProcessesSettings(workers=2, time_limit=time_limit), make)


def _ray(make: MakeEvaluator, time_limit: float | None = None) -> Executor:
    ray = pytest.importorskip("ray")
    if (
        not ray.is_initialized()
    ):  # one for all tests: it takes seconds to start, and ends with the process
        with nodes_that_see_the_tests():
            ray.init(
                "local",
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=LOCAL_OBJECT_STORE,
            )
    return RayExecutor(RaySettings(workers=2, time_limit=time_limit), make)


@contextmanager
def nodes_that_see_the_tests() -> Iterator[None]:
    """Ray's nodes that are started meanwhile can import what lies in this folder, and report nothing to anyone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


BACKENDS = (
    Backend("inline", _inline, isolated=False),
    Backend("processes", _processes, isolated=True),
    pytest.param(Backend("ray", _ray, isolated=True), marks=pytest.mark.slow),
)

every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


def needs_isolation(backend: Backend) -> None:
    """Skip where the fault under test would end the test run itself."""
    if not backend.isolated:
        pytest.skip(
            f"{backend.name} evaluates in the search's own process, which dies or hangs with its candidate"
        )
