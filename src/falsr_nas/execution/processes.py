"""Evaluations in processes of their own: a crash, a kill or an endless loop costs that candidate only."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from falsr_nas.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.errors import UserError
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import MakeEvaluator
from falsr_nas.execution.settings import ProcessesSettings

MOST_WORKERS = 8
"""Workers at most where their number is found out; each holds the images and a copy of torch."""

READY = "ready"


class ProcessesExecutor:
    """Persistent workers, spawned, one candidate each at a time. A worker that dies is replaced."""

    def __init__(self, settings: ProcessesSettings, make_evaluator: MakeEvaluator) -> None:
        self._make_evaluator = make_evaluator
        self._time_limit = settings.time_limit
        self._gpus = visible_gpus()
        self.capacity = settings.workers or len(self._gpus) or min(os.cpu_count() or 1, MOST_WORKERS)
        self._workers: list[Worker] = []
        self._waiting: deque[Candidate] = deque()

    def submit(self, candidate: Candidate) -> None:
        """Give the candidate to an idle worker, or queue it."""
        self._waiting.append(candidate)
        self._hand_out()

    def collect(self) -> Evaluation:
        """The next evaluation to end; a worker that died or took too long counts as one that ended."""
        while True:
            for worker in self._workers:
                evaluation = worker.finished(self._time_limit)
                if evaluation is None:
                    continue
                if not worker.alive:
                    self._replace(worker)
                self._hand_out()
                return evaluation
            wait([end for worker in self._workers for end in worker.ends()], self._patience())

    def __enter__(self) -> Self:
        try:
            self._workers = [self._start(place) for place in range(self.capacity)]
            for worker in self._workers:
                worker.await_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _start(self, place: int) -> Worker:
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        return Worker(self._make_evaluator, place, gpu)

    def _replace(self, worker: Worker) -> None:
        fresh = self._start(worker.place)
        self._workers[worker.place] = fresh
        fresh.await_ready()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.candidate is None:
                worker.begin(self._waiting.popleft())

    def _patience(self) -> float | None:
        """Seconds until some candidate's time is up."""
        if self._time_limit is None:
            return None
        began = [worker.began for worker in self._workers if worker.candidate]
        return max(0.0, min(began) + self._time_limit - time.monotonic())

    def _stop(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._waiting.clear()


class Worker:
    """One process, seen from the search.

    Attributes:
        place: its number.
        candidate: what it works on.
        began: when it began with it, by the monotonic clock.
        alive: whether it can take another.
    """

    def __init__(self, make_evaluator: MakeEvaluator, place: int, gpu: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.place = place
        self.candidate: Candidate | None = None
        self.began = 0.0
        self.alive = True
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=work, args=(theirs, make_evaluator, gpu), daemon=True, name=f"worker-{place}")
        self._process.start()
        theirs.close()

    def await_ready(self) -> None:
        """Wait until its evaluator is prepared. Raises UserError where that failed by a user's mistake, RuntimeError where it died."""
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"a worker died while it started (exit code {self._process.exitcode})") from None
        if isinstance(answer, UserError):
            raise answer

    def begin(self, candidate: Candidate) -> None:
        """Send it a candidate."""
        self.candidate, self.began = candidate, time.monotonic()
        try:
            self._connection.send(candidate)
        except OSError:
            self.alive = False  # it has died since its last candidate; finished() says so

    def ends(self) -> list[Any]:
        """What to wait for: its answer, its death."""
        return [self._connection, self._process.sentinel] if self.candidate else []

    def finished(self, time_limit: float | None) -> Evaluation | None:
        """Its evaluation, when there is one: its answer, or the failure that it died or ran out of time."""
        if self.candidate is None:
            return None
        candidate = self.candidate
        if self._connection.poll():
            try:
                answer = self._connection.recv()
            except (EOFError, OSError):
                return self._lost(candidate)
            self.candidate = None
            if isinstance(answer, UserError):
                raise answer
            assert isinstance(answer, Evaluation)
            return answer
        if not self.alive or not self._process.is_alive():
            return self._lost(candidate)
        if time_limit is not None and time.monotonic() - self.began >= time_limit:
            self.kill()
            return Evaluation(candidate, Failure(FailureKind.TIMEOUT, f"took longer than {time_limit:g} s"))
        return None

    def kill(self) -> None:
        """End it at once."""
        self.alive, self.candidate = False, None
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _lost(self, candidate: Candidate) -> Evaluation:
        self._process.join()
        code = self._process.exitcode
        self.kill()
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return Evaluation(candidate, Failure(FailureKind.WORKER_DIED, f"the worker died ({how})"))


def work(connection: Connection, make_evaluator: MakeEvaluator, gpu: str | None) -> None:
    """A worker's life: prepare, say so, then evaluate what comes until the search is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the search decides
    threading.Thread(target=_die_with_the_search, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before torch is imported
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


def _die_with_the_search() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
