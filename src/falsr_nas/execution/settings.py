"""What execution can be told. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.errors import UserError


@dataclass(frozen=True)
class ExecutionSettings:
    """Where evaluations run."""


@dataclass(frozen=True)
class InlineSettings(ExecutionSettings):
    """One evaluation at a time, in the search's own process."""


@dataclass(frozen=True)
class ProcessesSettings(ExecutionSettings):
    """Several evaluations at a time on this machine, each in a process of its own that lives on from candidate to candidate.

    Attributes:
        workers: processes; null for one a GPU where there are any, else one a processor core (8 at most: each holds the images).
        time_limit: seconds that a candidate may take before its process is killed; null for no limit.
    """

    workers: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"execution.workers is {self.workers}: it must be at least 1, or null to be found out")
        if self.time_limit is not None and self.time_limit <= 0:
            raise UserError(f"execution.time_limit is {self.time_limit}: give a number of seconds, or null for no limit")
