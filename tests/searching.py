"""Executors as a search decorates them."""

from pathlib import Path

from falsr_nas.archive.store import Store
from falsr_nas.archive.weights import WeightsFolder
from falsr_nas.controller.settings import Mode
from falsr_nas.execution.executor import Executor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies
from falsr_nas.objectives.problem import Problem
from falsr_nas.search.rungs import RUNGS, GenerationalRungs, RungTrainings, SteadyRungs
from falsr_nas.training.settings import RungSettings


def decorated(
    executor: Executor,
    store: Store,
    policies: FailurePolicies | None = None,
    mode: Mode = Mode.generational,
) -> GenerationalRungs | SteadyRungs:
    """Return an executor that retries, without rungs, for a search in an empty folder."""
    retrying = RetryingExecutor(executor, policies or FailurePolicies(), store.add_failure)
    weights = WeightsFolder(Path(store.path).parent / "weights")
    return RUNGS[mode](RungTrainings(retrying, weights, RungSettings(), 1), store, Problem())
