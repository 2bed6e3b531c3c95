"""Evaluations in processes of their own: a crash, a kill, an endless loop or too much memory costs that candidate only."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from falsr_nas.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.errors import SearchError, UserError
from falsr_nas.evaluation.evaluator import attempt, failure_of
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import MakeEvaluator, Waiting
from falsr_nas.execution.memory import resident
from falsr_nas.execution.settings import ProcessesSettings

MOST_WORKERS = 8
"""Workers at most where their number is found out; each holds the images and a copy of torch."""

STARTS = 3
"""How often in a row a worker may fail to start before the search gives up."""

MEMORY_SECONDS = 0.1
"""Between two looks at the workers' memory, where that has a limit."""

READY = "ready"


class ProcessesExecutor:
    """Persistent workers, spawned, one candidate each at a time. A worker that dies is replaced while the others work on."""

    def __init__(self, settings: ProcessesSettings, make_evaluator: MakeEvaluator) -> None:
        self._make_evaluator = make_evaluator
        self._settings = settings
        self._gpus = visible_gpus()
        self.capacity = settings.workers or len(self._gpus) or min(os.cpu_count() or 1, MOST_WORKERS)
        self._workers: list[Worker] = []
        self._waiting = Waiting()
        self._failed_starts: Counter[int] = Counter()

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Give the candidate to an idle worker, or queue it."""
        self._waiting.add(candidate, avoid)
        self._hand_out()

    def collect(self) -> Evaluation:
        """The next evaluation to end; a worker that died, took too long or too much memory counts as one that ended."""
        while True:
            for worker in self._workers:
                evaluation = worker.ended(self._settings.time_limit, self._settings.memory_limit)
                if not worker.alive:
                    self._replace(worker)
                if evaluation is not None:
                    self._hand_out()
                    return evaluation
            self._hand_out()
            self._wait()

    def __enter__(self) -> Self:
        try:
            self._workers = [self._start(place) for place in range(self.capacity)]
            while not all(worker.ready for worker in self._workers):
                self._wait()
                for worker in self._workers:
                    worker.ended()
                    if not worker.alive:
                        self._replace(worker)
            self._check_memory()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _start(self, place: int) -> Worker:
        environment = {"CUDA_VISIBLE_DEVICES": self._gpus[place % len(self._gpus)]} if self._gpus else {}
        return Worker(self._make_evaluator, place, environment)

    def _replace(self, dead: Worker) -> None:
        """Start another in its place; it is waited for by no one. Raises SearchError where that has failed STARTS times in a row."""
        place = dead.place
        self._failed_starts[place] = 0 if dead.ready else self._failed_starts[place] + 1
        if self._failed_starts[place] == STARTS:
            raise SearchError(
                f"{dead.name} could not be started, {STARTS} times in a row: {dead.fault.message}. What was finished is stored. See that "
                f"{self.capacity} workers have room in memory, or give fewer (execution.workers), then run the same command\n"
                f"{dead.fault.traceback}".rstrip()
            )
        self._workers[place] = self._start(place)

    def _hand_out(self) -> None:
        places = [worker.name for worker in self._workers]
        for worker in self._workers:
            if worker.idle and (candidate := self._waiting.take(worker.name, places)):
                worker.begin(candidate)

    def _wait(self) -> None:
        """Until some worker has something to say, has died, or must be looked at."""
        wait([end for worker in self._workers for end in worker.ends()], self._patience())

    def _patience(self) -> float | None:
        limits = [MEMORY_SECONDS] if self._settings.memory_limit else []
        if self._settings.time_limit:
            limits += [worker.began + self._settings.time_limit - time.monotonic() for worker in self._workers if worker.candidate]
        return max(0.0, min(limits)) if limits else None

    def _check_memory(self) -> None:
        limit, held = self._settings.memory_limit, max(worker.memory() for worker in self._workers)
        if limit is not None and held >= limit:
            raise UserError(f"execution.memory_limit is {limit:g} GiB, but a worker holds {held:.2f} GiB before its first candidate")

    def _stop(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._waiting.clear()


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

    def __init__(self, make_evaluator: MakeEvaluator, place: int, environment: Mapping[str, str]) -> None:
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
            target=work, args=(theirs, make_evaluator, environment), daemon=True, name=f"worker-{place}"
        )
        with _signals_held_back():
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

    def ended(self, time_limit: float | None = None, memory_limit: float | None = None) -> Evaluation | None:
        """The evaluation that has ended, if any: its answer, or the failure that it died or broke a limit.

        Raises:
            UserError: it says that a user can mend what is wrong.
        """
        if self._connection.poll():
            return self._listen()
        if not self._process.is_alive():
            return self._died()
        if self.candidate and time_limit is not None and time.monotonic() - self.began >= time_limit:
            return self._end(FailureKind.TIMEOUT, f"took longer than execution.time_limit={time_limit:g} s")
        if self.candidate and memory_limit is not None and (held := self.memory()) > memory_limit:
            return self._end(FailureKind.OUT_OF_MEMORY, f"its worker held {held:.2f} GiB, execution.memory_limit is {memory_limit:g}")
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
                return Evaluation(candidate, replace(outcome, place=self.name) if isinstance(outcome, Failure) else outcome)
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


def work(connection: Connection, make_evaluator: MakeEvaluator, environment: Mapping[str, str]) -> None:
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
