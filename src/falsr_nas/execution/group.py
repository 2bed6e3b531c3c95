"""Candidates trained on several devices: a group of processes that is one worker to the search."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from typing import Any

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.execution.executor import MakeEvaluator
from falsr_nas.execution.worker import Worker

LOOPBACK = "127.0.0.1"

LAST_WORDS = 5.0
"""Seconds that the others have, once a member has failed, to say why or to be found dead: a connection that broke is heard of sooner."""


class WorkerGroup:
    """Processes, one a device, that evaluate each candidate together; to whoever waits for it, it is a :class:`Worker`.

    Every member is a worker with its rank in its environment, as ``torchrun`` would set it, and is
    given every candidate; rank 0's answer counts. They live and die together: where one dies,
    hangs past the time limit or fails alone, the others would wait for it for ever.

    Attributes:
        place: its number.
        name: its place as failures name it.
        candidate: what it works on.
        began: when it began with it, by the monotonic clock.
        alive: whether it can still work. One that cannot has been ended, and is to be replaced.
        fault: what ended it.
    """

    def __init__(
        self,
        make_evaluator: MakeEvaluator,
        place: int,
        devices: int,
        environment: Mapping[str, str],
    ) -> None:
        self.place = place
        self.candidate: Candidate | None = None
        self.began = 0.0
        self.alive = True
        self.fault = Failure(FailureKind.WORKER_DIED, "")
        self._port = reserved_port()
        common = {
            **environment,
            "MASTER_ADDR": LOOPBACK,
            "MASTER_PORT": str(self._port.getsockname()[1]),
        }
        self._members = [
            Worker(make_evaluator, place, common | _rank(rank, devices)) for rank in range(devices)
        ]
        self.name = self._members[0].name
        self._answers: dict[int, Evaluation] = {}

    @property
    def ready(self) -> bool:
        """Whether all its evaluators are prepared."""
        return all(member.ready for member in self._members)

    @property
    def idle(self) -> bool:
        """Whether it can take a candidate."""
        return self.candidate is None and all(member.idle for member in self._members)

    def begin(self, candidate: Candidate) -> None:
        """Send all of them a candidate."""
        self.candidate, self.began = candidate, time.monotonic()
        self._answers.clear()
        for member in self._members:
            member.begin(candidate)

    def ends(self) -> list[Any]:
        """What to wait for: a word of any of them, a death."""
        return [end for member in self._members for end in member.ends()]

    def ended(
        self, time_limit: float | None = None, memory_limit: float | None = None
    ) -> Evaluation | None:
        """As :meth:`Worker.ended`, for whichever member it happens to; memory is that of each."""
        self._hear(time_limit, memory_limit)
        if self._failures() and self.alive:
            self._hear_last_words()
        if not self.alive:
            return self._end(self.fault)
        failures = self._failures()
        if failures and any(failure.kind is not FailureKind.DIVERGED for failure in failures):
            return self._end(
                min(failures, key=lambda failure: failure.kind is FailureKind.BUG)
            )  # a bug may be what the other's end did
        if len(self._answers) < len(self._members):
            return self._end(failures[0]) if failures else None
        self.candidate = None
        return self._answers[0]

    def memory(self) -> float:
        """Resident memory of the largest of its processes, in GiB."""
        return max(member.memory() for member in self._members)

    def kill(self) -> None:
        """End all of them at once."""
        self.alive, self.candidate = False, None
        for member in self._members:
            member.kill()
        self._port.close()

    def _hear(self, time_limit: float | None, memory_limit: float | None) -> None:
        for rank, member in enumerate(self._members):
            if (evaluation := member.ended(time_limit, memory_limit)) and member.alive:
                self._answers[rank] = evaluation
            if not member.alive:
                self.alive, self.fault = False, member.fault
                return

    def _hear_last_words(self) -> None:
        until = time.monotonic() + LAST_WORDS
        while (
            self.alive
            and len(self._answers) < len(self._members)
            and (left := until - time.monotonic()) > 0
        ):
            wait(self.ends(), left)
            self._hear(None, None)

    def _failures(self) -> list[Failure]:
        return [
            answer.outcome
            for answer in self._answers.values()
            if isinstance(answer.outcome, Failure)
        ]

    def _end(self, fault: Failure) -> Evaluation | None:
        candidate, self.fault = self.candidate, fault
        self.kill()
        return Evaluation(candidate, fault) if candidate else None


def reserved_port() -> socket.socket:
    """A port that no one else is given while this socket is open: bound, but never listened on, so that rank 0 may."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((LOOPBACK, 0))
    return reserved


def _rank(rank: int, devices: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(devices),
        "NODE_RANK": "0",
    }
