"""Evaluations in processes of their own: a crash, a kill, an endless loop or too much memory costs that candidate only."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.errors import SearchError, UserError
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import MakeEvaluator, Waiting
from falsr_nas.execution.group import WorkerGroup
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.execution.worker import Worker

MOST_WORKERS = 8
"""Workers at most where their number is found out; each holds the images and a copy of torch."""

STARTS = 3
"""How often in a row a worker may fail to start before the search gives up."""

MEMORY_SECONDS = 0.1
"""Between two looks at the workers' memory, where that has a limit."""


class ProcessesExecutor:
    """Persistent workers, spawned, one candidate each at a time. A worker that dies is replaced while the others work on."""

    def __init__(self, settings: ProcessesSettings, make_evaluator: MakeEvaluator) -> None:
        self._make_evaluator = make_evaluator
        self._settings = settings
        self._devices = _devices(visible_gpus(), settings.devices_per_candidate)
        self.capacity = settings.workers or _most(self._devices, settings)
        self._workers: list[Worker | WorkerGroup] = []
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self, place: int) -> Worker | WorkerGroup:
        environment = (
            {"CUDA_VISIBLE_DEVICES": self._devices[place % len(self._devices)]}
            if self._devices
            else {}
        )
        if self._settings.devices_per_candidate > 1:
            return WorkerGroup(
                self._make_evaluator, place, self._settings.devices_per_candidate, environment
            )
        return Worker(self._make_evaluator, place, environment)

    def _replace(self, dead: Worker | WorkerGroup) -> None:
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
            limits += [
                worker.began + self._settings.time_limit - time.monotonic()
                for worker in self._workers
                if worker.candidate
            ]
        return max(0.0, min(limits)) if limits else None

    def _check_memory(self) -> None:
        limit, held = self._settings.memory_limit, max(worker.memory() for worker in self._workers)
        if limit is not None and held >= limit:
            raise UserError(
                f"execution.memory_limit is {limit:g} GiB, but a worker holds {held:.2f} GiB before its first candidate"
            )

    def _stop(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._waiting.clear()


def _devices(gpus: list[str], each: int) -> list[str]:
    """The GPUs in sets of ``each``, as CUDA_VISIBLE_DEVICES has them; none where there are no GPUs. Raises UserError for too few."""
    if gpus and len(gpus) < each:
        raise UserError(
            f"execution.devices_per_candidate is {each}, but this machine has {len(gpus)} GPU{'s' * (len(gpus) > 1)}"
        )
    return [",".join(gpus[first : first + each]) for first in range(0, len(gpus) - each + 1, each)]


def _most(devices: list[str], settings: ProcessesSettings) -> int:
    """Workers where their number is found out."""
    if devices:
        return len(devices) * settings.workers_per_device
    return max(1, min(os.cpu_count() or 1, MOST_WORKERS) // settings.devices_per_candidate)
