"""Groups of processes that evaluate each candidate together, on several devices."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from typing import Any

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.core.running_time import RunningTime
from falsr_nas.execution.worker import Worker

LOOPBACK = "127.0.0.1"

ERROR_SECONDS = 5.0
"""Time to wait for the other members after one has failed: the first error may only be a broken
connection to the member that caused it."""


class WorkerGroup:
    """Worker processes, one per device, that evaluate each candidate together.

    The interface is that of :class:`Worker`. Every member has its rank in its environment, as
    ``torchrun`` sets it, and gets every candidate; the result of rank 0 counts. If one member dies,
    exceeds the time limit or fails alone, the others would wait for it for ever: all are killed and
    replaced together.

    Args:
        make_evaluator: pickled function that builds the evaluator.
        number: number of the group; a replacement gets the number of the group it replaces.
        devices: number of processes.
        environment: environment variables that are set in all processes.

    Attributes:
        name: name of the group in failures.
        candidate: the candidate in evaluation, or None.
        alive: False once the processes were ended; the group must then be replaced.
        failure: why they were ended.
    """

    def __init__(
        self, make_evaluator: bytes, number: int, devices: int, environment: Mapping[str, str]
    ) -> None:
        self.number = number
        self.candidate: Candidate | None = None
        self.alive = True
        self.failure = Failure(FailureKind.WORKER_DIED, "")
        self._port = reserved_port()
        common = {
            **environment,
            "MASTER_ADDR": LOOPBACK,
            "MASTER_PORT": str(self._port.getsockname()[1]),
        }
        self._members = [
            Worker(make_evaluator, number, common | _rank_variables(rank, devices))
            for rank in range(devices)
        ]
        self.name = self._members[0].name
        self._results: dict[int, Evaluation] = {}

    @property
    def clock(self) -> RunningTime:
        """The clock of the first member."""
        return self._members[0].clock

    @property
    def ready(self) -> bool:
        """Whether the evaluators of all members are prepared."""
        return all(member.ready for member in self._members)

    @property
    def idle(self) -> bool:
        """Whether it can take a candidate."""
        return self.candidate is None and all(member.idle for member in self._members)

    def submit(self, candidate: Candidate) -> None:
        """Send a candidate to all members."""
        self.candidate = candidate
        self._results.clear()
        for member in self._members:
            member.submit(candidate)

    def waitables(self) -> list[Any]:
        """Return the objects that ``multiprocessing.connection.wait`` can wait for."""
        return [one for member in self._members for one in member.waitables()]

    def poll(
        self, time_limit: float | None = None, memory_limit: float | None = None
    ) -> Evaluation | None:
        """As :meth:`Worker.poll`; the memory limit is per member."""
        self._poll_members(time_limit, memory_limit)
        if self._failures() and self.alive:
            self._wait_for_other_errors()
        if not self.alive:
            return self._fail(self.failure)
        failures = self._failures()
        if failures and any(failure.kind is not FailureKind.DIVERGED for failure in failures):
            # An exception may only be the consequence of another member's failure.
            return self._fail(min(failures, key=lambda one: one.kind is FailureKind.BUG))
        if len(self._results) < len(self._members):
            return self._fail(failures[0]) if failures else None
        self.candidate = None
        return self._results[0]

    def memory(self) -> float:
        """Return the resident memory of the largest member in GiB."""
        return max(member.memory() for member in self._members)

    def kill(self) -> None:
        """Kill all members."""
        self.alive, self.candidate = False, None
        for member in self._members:
            member.kill()
        self._port.close()

    def _poll_members(self, time_limit: float | None, memory_limit: float | None) -> None:
        for rank, member in enumerate(self._members):
            if (evaluation := member.poll(time_limit, memory_limit)) and member.alive:
                self._results[rank] = evaluation
            if not member.alive:
                self.alive, self.failure = False, member.failure
                return

    def _wait_for_other_errors(self) -> None:
        deadline = time.monotonic() + ERROR_SECONDS
        while (
            self.alive
            and len(self._results) < len(self._members)
            and (left := deadline - time.monotonic()) > 0
        ):
            wait(self.waitables(), left)
            self._poll_members(None, None)

    def _failures(self) -> list[Failure]:
        outcomes = [result.outcome for result in self._results.values()]
        return [outcome for outcome in outcomes if isinstance(outcome, Failure)]

    def _fail(self, failure: Failure) -> Evaluation | None:
        candidate, self.failure = self.candidate, failure
        self.kill()
        return Evaluation(candidate, failure) if candidate else None


def reserved_port() -> socket.socket:
    """Return a socket that is bound to a free port.

    No other process is given the port, but rank 0 can listen on it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((LOOPBACK, 0))
    return reserved


def _rank_variables(rank: int, devices: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(devices),
        "NODE_RANK": "0",
    }
