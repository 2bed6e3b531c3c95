"""All executors, for the tests that each of them must pass. A new executor is added here."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from falsr_nas.execution.executor import Executor, MakeEvaluator
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import InlineSettings, ProcessesSettings


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


BACKENDS = (
    Backend("inline", _inline, isolated=False),
    Backend("processes", _processes, isolated=True),
)

every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


def needs_isolation(backend: Backend) -> None:
    """Skip the test if its fault would end the test process."""
    if not backend.isolated:
        pytest.skip(
            f"{backend.name} evaluates in the process of the search, which the fault would end"
        )
