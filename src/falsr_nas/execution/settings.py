"""Settings of executors and failure policies. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from falsr_nas.archive.candidate import FailureKind
from falsr_nas.core.registry import Registry
from falsr_nas.core.settings import OF_HOLDER, Settings, at_least, positive

if TYPE_CHECKING:
    from falsr_nas.execution.executor import Executor


class Then(StrEnum):
    """What happens when the last attempt of a candidate fails, too."""

    infeasible = "infeasible"
    """The candidate has no score, and the search continues."""
    stop = "stop"
    """The search stops, and evaluates the candidate again when it is resumed."""


@dataclass(frozen=True)
class FailurePolicy(Settings, group=OF_HOLDER):
    """How to handle failures of one kind.

    Attributes:
        retries: how many times a candidate is evaluated again after such a failure, on another
            worker if there is one.
        then: what happens when the last attempt fails, too.
        in_a_row: the search stops when this many consecutive candidates have failed like this at
            their last attempt; null for no limit.
    """

    retries: int = at_least(0, default=0)
    then: Then = Then.infeasible
    in_a_row: int | None = at_least(1, default=None, null="any number")


@dataclass(frozen=True)
class FailurePolicies(Settings, group="execution.failures"):
    """A policy per kind of failure. All numbers are our choice.

    Attributes:
        out_of_memory: one retry, because other processes may have used the memory.
        diverged: no retry, because it would diverge again with the same seed.
        timeout: one retry, because the worker was probably stuck: ``max_mult_adds`` limits the cost
            of candidates.
        worker_died: the process was killed, e.g. by the system, or crashed in a library.
        bad_data: images cannot be used, which would affect all candidates. Repair them, then resume
            the search.
        bug: any other exception; three in a row are probably not caused by the networks.
    """

    out_of_memory: FailurePolicy = FailurePolicy(retries=1, in_a_row=10)
    diverged: FailurePolicy = FailurePolicy()
    timeout: FailurePolicy = FailurePolicy(retries=1, in_a_row=10)
    worker_died: FailurePolicy = FailurePolicy(retries=2, in_a_row=5)
    bad_data: FailurePolicy = FailurePolicy(then=Then.stop)
    bug: FailurePolicy = FailurePolicy(in_a_row=3)

    def of(self, kind: FailureKind) -> FailurePolicy:
        """Return the policy for failures of this kind."""
        policy: FailurePolicy = getattr(self, kind.value)
        return policy


@dataclass(frozen=True)
class ExecutionSettings(Settings, group="execution"):
    """Where evaluations run.

    Attributes:
        failures: how failed evaluations are handled.
    """

    failures: FailurePolicies = field(default_factory=FailurePolicies)


EXECUTORS: Registry[ExecutionSettings, Executor] = Registry("execution")
"""Options of the config group ``execution``; factories take the settings and make_evaluator."""


@EXECUTORS.register("inline", "falsr_nas.execution.inline:InlineExecutor")
@dataclass(frozen=True)
class InlineSettings(ExecutionSettings):
    """One evaluation at a time, in the process of the search."""


@dataclass(frozen=True)
class WorkersSettings(ExecutionSettings):
    """Several evaluations at a time, each in a persistent worker process.

    Attributes:
        workers: number of worker processes; null for as many as there is room for.
        devices_per_candidate: number of GPUs (or of processes, without GPUs) that train a candidate
            together; they share each batch.
        time_limit: maximum duration of an evaluation in seconds; null for no limit. The process is
            killed when it is exceeded.
        memory_limit: maximum resident memory of a process in GiB; null for no limit. The process is
            killed when it is exceeded.
    """

    workers: int | None = at_least(1, default=None, null="as many as there is room for")
    devices_per_candidate: int = at_least(1, default=1)
    time_limit: float | None = positive(unit="seconds", default=None, null="no limit")
    memory_limit: float | None = positive(unit="GiB", default=None, null="no limit")


@EXECUTORS.register("processes", "falsr_nas.execution.processes:ProcessesExecutor")
@dataclass(frozen=True)
class ProcessesSettings(WorkersSettings):
    """Workers on this machine: by default as many as fit on its GPUs, else one per core, at most 8.

    Attributes:
        workers_per_device: number of workers on each GPU, or on each set of
            ``devices_per_candidate`` GPUs. Small networks do not use all of a GPU.
    """

    workers_per_device: int = at_least(1, default=1)
