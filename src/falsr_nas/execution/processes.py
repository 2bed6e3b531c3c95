"""Evaluations in local worker processes: a crash or an exceeded limit costs one candidate."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Collection, Sequence
from multiprocessing.connection import wait
from typing import Self

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.core.closing import Closing
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.core.processor import usable_cores, usable_memory
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import CandidateQueue, MakeEvaluator
from falsr_nas.execution.group import WorkerGroup
from falsr_nas.execution.pickling import pickled
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.execution.worker import Worker

MAX_WORKERS = 8
"""Largest default number of workers on a CPU; each holds the images and a copy of torch."""

WORKER_MEMORY = 2**30
"""Bytes of memory for each worker of the default number; our choice."""

MAX_FAILED_STARTS = 3
"""The search stops if a worker fails to start this many times in a row."""

MEMORY_POLL_SECONDS = 0.1
"""Time between two checks of the workers' memory, if it has a limit."""

QUIET_SECONDS = 1800.0
"""Time without the end of an evaluation after which a warning is logged; then twice that."""

_log = logging.getLogger(__name__)


class ProcessesExecutor(Closing):
    """Persistent worker processes, each with one candidate at a time. Dead workers are replaced.

    Args:
        settings: workers and limits.
        make_evaluator: builds the evaluator of a worker.
        gpus: that they use, as in CUDA_VISIBLE_DEVICES; all by default.
    """

    def __init__(
        self,
        settings: ProcessesSettings,
        make_evaluator: MakeEvaluator,
        gpus: Sequence[str] | None = None,
    ) -> None:
        if multiprocessing.current_process().daemon:
            raise UserError(
                "worker processes cannot be started from a daemonic process, such as a worker of a"
                " multiprocessing pool: use execution=inline, or for trainings workers=1"
            )
        self._make_evaluator = pickled(make_evaluator)
        self._settings = settings
        gpus = visible_gpus() if gpus is None else gpus
        self._device_sets = _device_sets(gpus, settings.devices_per_candidate)
        self.capacity = settings.workers or _default_capacity(self._device_sets, settings)
        self._workers: list[Worker | WorkerGroup] = []
        self._queue = CandidateQueue()
        self._failed_starts: Counter[int] = Counter()
        self._ended, self._patience = time.monotonic(), QUIET_SECONDS

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Give the candidate to an idle worker, or queue it."""
        self._queue.add(candidate, avoid)
        self._dispatch()

    def collect(self) -> Evaluation:
        """Return the next evaluation that ends, also by a worker's death or an exceeded limit."""
        while True:
            for worker in self._workers:
                evaluation = worker.poll(self._settings.time_limit, self._settings.memory_limit)
                if not worker.alive:
                    self._replace(worker)
                if evaluation is not None:
                    self._ended, self._patience = time.monotonic(), QUIET_SECONDS
                    self._dispatch()
                    return evaluation
            self._dispatch()
            self._wait()

    def __enter__(self) -> Self:
        try:
            # One by one: where a later one cannot be started, those before are stopped.
            for number in range(self.capacity):
                self._workers.append(self._start(number))
            while not all(worker.ready for worker in self._workers):
                self._wait()
                for worker in self._workers:
                    worker.poll()
                    if not worker.alive:
                        self._replace(worker)
            self._check_memory()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self, number: int) -> Worker | WorkerGroup:
        environment = {}
        if self._device_sets:
            devices = self._device_sets[number % len(self._device_sets)]
            environment["CUDA_VISIBLE_DEVICES"] = devices
        if self._settings.devices_per_candidate > 1:
            return WorkerGroup(
                self._make_evaluator, number, self._settings.devices_per_candidate, environment
            )
        return Worker(self._make_evaluator, number, environment)

    def _replace(self, dead: Worker | WorkerGroup) -> None:
        """Start a new worker in place of a dead one, without waiting for it.

        Raises:
            SearchError: it failed to start MAX_FAILED_STARTS times in a row.
        """
        number = dead.number
        self._failed_starts[number] = 0 if dead.ready else self._failed_starts[number] + 1
        if self._failed_starts[number] == MAX_FAILED_STARTS:
            raise SearchError(
                f"{dead.name} could not be started, {MAX_FAILED_STARTS} times in a row:"
                f" {dead.failure.message}."
                f" Finished evaluations are stored. Check that {self.capacity} workers fit into"
                " memory, or give fewer (execution.workers), then run the same command\n"
                f"{dead.failure.traceback}".rstrip()
            )
        self._workers[number] = self._start(number)

    def _dispatch(self) -> None:
        """Give queued candidates to idle workers."""
        names = [worker.name for worker in self._workers]
        for worker in self._workers:
            if worker.idle and (candidate := self._queue.take(worker.name, names)):
                worker.submit(candidate)

    def _wait(self) -> None:
        """Wait until a worker sends a message, dies, or must be checked for its limits."""
        waitables = [waitable for worker in self._workers for waitable in worker.waitables()]
        if not wait(waitables, self._wait_timeout()) and self._quiet >= self._patience:
            _log.warning(
                "no evaluation has ended for %.0f minutes; execution.time_limit=SECONDS ends those"
                " that hang",
                self._quiet / 60,
            )
            self._patience *= 2

    @property
    def _quiet(self) -> float:
        return time.monotonic() - self._ended

    def _wait_timeout(self) -> float:
        limits = [self._patience - self._quiet]
        limits += [MEMORY_POLL_SECONDS] if self._settings.memory_limit else []
        if self._settings.time_limit:
            limits += [
                self._settings.time_limit - worker.clock()
                for worker in self._workers
                if worker.candidate
            ]
        return max(0.0, min(limits))

    def _check_memory(self) -> None:
        limit, used = self._settings.memory_limit, max(worker.memory() for worker in self._workers)
        if limit is not None and used >= limit:
            raise UserError(
                f"execution.memory_limit is {limit:g} GiB, but a worker uses {used:.2f} GiB"
                " before its first candidate"
            )

    def close(self) -> None:
        """Stop all workers."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._queue.clear()


def _device_sets(gpus: Sequence[str], size: int) -> list[str]:
    """Divide GPUs into sets of ``size``, each as a value of CUDA_VISIBLE_DEVICES.

    Raises:
        UserError: there are GPUs, but fewer than ``size``.
    """
    if gpus and len(gpus) < size:
        raise UserError(
            f"execution.devices_per_candidate is {size}, but this machine has {len(gpus)}"
            f" GPU{'s' * (len(gpus) > 1)}"
        )
    return [",".join(gpus[first : first + size]) for first in range(0, len(gpus) - size + 1, size)]


def _default_capacity(device_sets: list[str], settings: ProcessesSettings) -> int:
    if device_sets:
        return len(device_sets) * settings.workers_per_device
    room = min(usable_cores(), int(usable_memory() // WORKER_MEMORY), MAX_WORKERS)
    return max(1, room // settings.devices_per_candidate)
