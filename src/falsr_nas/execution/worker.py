"""A process that evaluates candidates, one at a time, from both of its sides."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.cli.spawning import main_module_hidden
from falsr_nas.errors import UserError
from falsr_nas.evaluation.evaluator import attempt, failure_of
from falsr_nas.execution.executor import MakeEvaluator
from falsr_nas.execution.memory import resident

READY = "ready"


class Worker:
    """One process, seen from the search.

    Attributes:
        place: its number.
        name: its place as failures name it.
        candidate: what it works on.
        began: when it began with it, by the monotonic clock.
        ready: whether its evaluator is prepared.
        alive: whether it can still work. One that cannot has been ended, and is to be replaced.
        fault: what ended it.
    """

    def __init__(
        self, make_evaluator: MakeEvaluator, place: int, environment: Mapping[str, str]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.place = place
        self.name = f"worker {place}"
        self.candidate: Candidate | None = None
        self.began = 0.0
        self.ready = False
        self.alive = True
        self.fault = Failure(FailureKind.WORKER_DIED, "")
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=work,
            args=(theirs, make_evaluator, environment),
            daemon=True,
            name=f"worker-{place}",
        )
        with _signals_held_back(), main_module_hidden():
            self._process.start()
        theirs.close()

    @property
    def idle(self) -> bool:
        """Whether it can take a candidate."""
        return self.ready and self.candidate is None and self._process.is_alive()

    def begin(self, candidate: Candidate) -> None:
        """Send it a candidate."""
        self.candidate, self.began = candidate, time.monotonic()
        try:
            self._connection.send(candidate)
        except OSError:
            return  # it has died this instant; ended() says so

    def ends(self) -> list[Any]:
        """What to wait for: its words, its death."""
        return [self._connection, self._process.sentinel]

    def ended(
        self, time_limit: float | None = None, memory_limit: float | None = None
    ) -> Evaluation | None:
        """The evaluation that has ended, if any: its answer, or the failure that it died or broke a limit.

        Raises:
            UserError: it says that a user can mend what is wrong.
        """
        if self._connection.poll():
            return self._listen()
        if not self._process.is_alive():
            return self._died()
        if (
            self.candidate
            and time_limit is not None
            and time.monotonic() - self.began >= time_limit
        ):
            return self._end(
                FailureKind.TIMEOUT, f"took longer than execution.time_limit={time_limit:g} s"
            )
        if self.candidate and memory_limit is not None and (held := self.memory()) > memory_limit:
            return self._end(
                FailureKind.OUT_OF_MEMORY,
                f"its worker held {held:.2f} GiB, execution.memory_limit is {memory_limit:g}",
            )
        return None

    def memory(self) -> float:
        """Resident memory of its process, in GiB."""
        return resident(self._process.pid or 0)

    def kill(self) -> None:
        """End it at once."""
        self.alive, self.candidate = False, None
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _listen(self) -> Evaluation | None:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            return self._died()
        match answer:
            case UserError():
                raise answer
            case Failure(kind, message, traceback):  # outside any evaluation, and its end
                return self._end(kind, message, traceback)
            case Evaluation(candidate, outcome):
                self.candidate = None
                return Evaluation(
                    candidate,
                    replace(outcome, place=self.name) if isinstance(outcome, Failure) else outcome,
                )
            case _:
                self.ready = True
                return None

    def _died(self) -> Evaluation | None:
        self._process.join()
        code = self._process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return self._end(FailureKind.WORKER_DIED, f"the worker died ({how})")

    def _end(self, kind: FailureKind, message: str, traceback: str = "") -> Evaluation | None:
        """End it for this reason, which is the outcome of the candidate that it works on."""
        candidate, self.fault = self.candidate, Failure(kind, message, traceback, self.name)
        self.kill()
        return Evaluation(candidate, self.fault) if candidate else None


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Processes started meanwhile never get SIGINT or SIGTERM: both reach the whole group, but it is the search that decides.

    Blocked, not ignored, and before they begin: no library's handler gets them back.
    """
    resource_tracker.ensure_running()  # it would unblock them when it starts with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(
    connection: Connection, make_evaluator: MakeEvaluator, environment: Mapping[str, str]
) -> None:
    """A worker's life: prepare, say so, then evaluate what comes until the search is gone."""
    threading.Thread(target=_die_with_the_search, daemon=True).start()
    os.environ.update(environment)  # before torch is imported
    try:
        evaluator = make_evaluator()
        evaluator.prepare()
        connection.send(READY)
        while True:
            candidate = connection.recv()
            connection.send(attempt(evaluator, candidate))
    except UserError as error:
        connection.send(UserError(str(error)))
    except EOFError:
        return
    except Exception as error:
        connection.send(failure_of(error))


def _die_with_the_search() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
