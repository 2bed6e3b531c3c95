"""Every executor, for the suites that all of them must pass: a new one is one more entry here."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from falsr_nas.execution.executor import Executor, InlineExecutor, MakeEvaluator
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings


@dataclass(frozen=True)
class Backend:
    """An executor as tests need it.

    Attributes:
        name: of ``execution=...``.
        build: the executor of an evaluator, with a time limit in seconds, two workers where it can have several.
        isolated: whether a candidate may kill, block or fill up its process without ending the search.
    """

    name: str
    build: Callable[[MakeEvaluator, float | None], Executor]
    isolated: bool


def _inline(make: MakeEvaluator, time_limit: float | None = None) -> Executor:
    return InlineExecutor(make)


def _processes(make: MakeEvaluator, time_limit: float | None = None) -> Executor:
    return ProcessesExecutor(ProcessesSettings(workers=2, time_limit=time_limit), make)


BACKENDS = (Backend("inline", _inline, isolated=False), Backend("processes", _processes, isolated=True))

every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


def needs_isolation(backend: Backend) -> None:
    """Skip where the fault under test would end the test run itself."""
    if not backend.isolated:
        pytest.skip(f"{backend.name} evaluates in the search's own process, which dies or hangs with its candidate")
