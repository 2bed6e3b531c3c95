"""All executors, for the tests that each of them must pass. A new executor is added here."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from falsr_nas.execution.executor import Executor, MakeEvaluator
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.ray_executor import LOCAL_OBJECT_STORE, RayExecutor
from falsr_nas.execution.settings import InlineSettings, ProcessesSettings, RaySettings


@dataclass(frozen=True)
class Backend:
    """An executor under test.

    Attributes:
        name: the option of ``execution=...``.
        build: makes the executor for an evaluator and a time limit in seconds, with two workers if
            it can have several.
        isolated: whether a candidate may kill or block its process without ending the search.
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
    if not ray.is_initialized():  # one for all tests: it takes seconds to start
        with importable_on_nodes():
            ray.init(
                "local",
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=LOCAL_OBJECT_STORE,
            )
    return RayExecutor(RaySettings(workers=2, time_limit=time_limit), make)


@contextmanager
def importable_on_nodes() -> Iterator[None]:
    """Make this folder importable on nodes of Ray that are started in this block."""
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
    """Skip the test if its fault would end the test process."""
    if not backend.isolated:
        pytest.skip(
            f"{backend.name} evaluates in the process of the search, which the fault would end"
        )
