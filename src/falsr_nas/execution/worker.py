"""Worker processes: the handle that the search holds, and the main loop of the process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.core.errors import UserError
from falsr_nas.core.interruption import SIGNALS
from falsr_nas.core.plugins import explained
from falsr_nas.core.running_time import RunningTime
from falsr_nas.core.spawning import main_module_hidden
from falsr_nas.evaluation.evaluator import attempt, failure_of
from falsr_nas.execution.memory import resident_memory
from falsr_nas.execution.pickling import unpickled

READY = "ready"


class Worker:
    """Handle of a worker process, which evaluates one candidate at a time.

    Args:
        make_evaluator: pickled function that builds the evaluator.
        number: number of the worker; a replacement gets the number of the worker it replaces.
        environment: environment variables that are set in the process.

    Attributes:
        name: name of the worker in failures.
        candidate: the candidate in evaluation, or None.
        clock: since its evaluation started.
        ready: whether the evaluator is prepared.
        alive: False once the process was ended; the worker must then be replaced.
        failure: why it was ended.
    """

    def __init__(self, make_evaluator: bytes, number: int, environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.name = f"worker {number}"
        self.candidate: Candidate | None = None
        self.clock = RunningTime()
        self.ready = False
        self.alive = True
        self.failure = Failure(FailureKind.WORKER_DIED, "")
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=worker_main,
            args=(theirs, make_evaluator, environment),
            daemon=True,
            name=f"worker-{number}",
        )
        with _signals_blocked(), main_module_hidden():
            self._process.start()
        theirs.close()

    @property
    def idle(self) -> bool:
        """Whether it can take a candidate."""
        return self.ready and self.candidate is None and self._process.is_alive()

    def submit(self, candidate: Candidate) -> None:
        """Send a candidate to the process, which may be frozen: its time limit holds already."""
        self.candidate, self.clock = candidate, RunningTime()
        threading.Thread(target=self._send, args=(candidate,), daemon=True).start()

    def _send(self, candidate: Candidate) -> None:
        with suppress(OSError):  # the process has just died: poll() reports it
            self._connection.send(candidate)

    def waitables(self) -> list[Any]:
        """Return the objects that ``multiprocessing.connection.wait`` can wait for."""
        return [self._connection, self._process.sentinel]

    def poll(
        self, time_limit: float | None = None, memory_limit: float | None = None
    ) -> Evaluation | None:
        """Return the evaluation if it has ended, else None.

        It has ended if the process sent its result, has died, or exceeded a limit; in the last two
        cases :attr:`alive` is False afterwards.

        Args:
            time_limit: in seconds, or None.
            memory_limit: in GiB, or None.

        Raises:
            UserError: the process reported a mistake that the user can correct.
        """
        if self._connection.poll():
            return self._receive()
        if not self._process.is_alive():  # it may have sent its result just before its end
            return self._receive() if self._connection.poll() else self._died()
        if self.candidate is None:
            return None
        if time_limit is not None and self.clock() >= time_limit:
            return self._fail(
                FailureKind.TIMEOUT, f"took longer than execution.time_limit={time_limit:g} s"
            )
        if memory_limit is not None and (memory := self.memory()) > memory_limit:
            return self._fail(
                FailureKind.OUT_OF_MEMORY,
                f"its worker used {memory:.2f} GiB, execution.memory_limit is {memory_limit:g}",
            )
        return None

    def memory(self) -> float:
        """Return the resident memory of the process in GiB."""
        return resident_memory(self._process.pid or 0)

    def kill(self) -> None:
        """Kill the process, and those that it started."""
        self.alive, self.candidate = False, None
        if self._process.pid is not None:
            with suppress(ProcessLookupError):  # it has not begun, or has ended with all others
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _receive(self) -> Evaluation | None:
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            return self._died()
        match message:
            case UserError():
                raise message
            case Failure(kind, text, traceback):  # outside of an evaluation; the process ends
                return self._fail(kind, text, traceback)
            case Evaluation():
                self.candidate = None
                return message.at(self.name)
            case _:
                self.ready = True
                return None

    def _died(self) -> Evaluation | None:
        self._process.join()
        code = self._process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return self._fail(FailureKind.WORKER_DIED, f"the worker died ({how})")

    def _fail(self, kind: FailureKind, message: str, traceback: str = "") -> Evaluation | None:
        """Kill the process; return the failure as the outcome of its candidate, if it has one."""
        candidate, self.failure = self.candidate, Failure(kind, message, traceback, self.name)
        self.kill()
        return Evaluation(candidate, self.failure) if candidate else None


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals that stop a search in processes that are started in this block.

    They reach the whole process group, but only the search handles them. They are blocked, not
    ignored, and before the process starts, so that no library's handler receives them.
    """
    resource_tracker.ensure_running()  # if started later, it would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*SIGNALS, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_main(
    connection: Connection, make_evaluator: bytes, environment: Mapping[str, str]
) -> None:
    """Main loop of a worker process: prepare, report ready, then evaluate until the search ends."""
    os.setpgid(0, 0)  # a group with what evaluators start, so that nothing is left behind
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    os.environ.update(environment)  # before torch is imported
    try:
        evaluator = unpickled(make_evaluator)()
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
        said = explained(error)
        connection.send(UserError(said) if said else failure_of(error))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)
