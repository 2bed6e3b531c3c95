"""Evaluations on a Ray cluster, whose machines may come and go, or on a local Ray."""

from __future__ import annotations

import itertools
import logging
import math
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.core.closing import Closing
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import CandidateQueue, MakeEvaluator
from falsr_nas.execution.pickling import pickled, unpickled
from falsr_nas.execution.processes import MAX_FAILED_STARTS, ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings, RaySettings

LOCAL_OBJECT_STORE = 100 * 2**20
"""Bytes of shared memory of a local Ray: candidates, scores and weights of a few MB are sent."""

POLL_SECONDS = 2.0
"""Time between two checks of the cluster's nodes."""

START_SECONDS = 30.0
"""Time to wait for all workers before a search begins with those that have started."""

QUIET: Mapping[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
"""Arguments of ``ray.init`` that keep its messages off the terminal."""

_log = logging.getLogger(__name__)


class RayExecutor(Closing):
    """Persistent actors on the nodes of a Ray cluster, each with one worker process.

    A lost actor is replaced if there is room, and new nodes get new actors. The capacity is the
    number of actors that are ready; if there is none, the search waits for new nodes.
    """

    def __init__(self, settings: RaySettings, make_evaluator: MakeEvaluator) -> None:
        import ray

        self._ray: Any = ray
        self._settings = settings
        self._make_evaluator = pickled(make_evaluator)
        self._actors: dict[int, ActorState] = {}
        self._replies: queue.SimpleQueue[tuple[ActorState, Any]] = queue.SimpleQueue()
        self._queue = CandidateQueue()
        self._failed_starts = 0
        self._scaled = -math.inf
        self._connection = ExitStack()
        self._num_cpus = settings.num_cpus or float(settings.devices_per_candidate)
        self._num_gpus = settings.num_gpus

    @property
    def capacity(self) -> int:
        """Number of evaluations that run at once now; 1 while the search waits for a node."""
        return max(1, sum(actor.ready for actor in self._actors.values()))

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Give the candidate to an idle actor, or queue it."""
        self._queue.add(candidate, avoid)
        self._dispatch()

    def collect(self) -> Evaluation:
        """Return the next evaluation that ends, also by the loss of an actor or its node."""
        while True:
            self._dispatch()
            if evaluation := self._next_reply():
                self._dispatch()
                return evaluation

    def __enter__(self) -> Self:
        try:
            self._connect()
            self._scale()
            if not self._actors:
                raise UserError(
                    f"no node of the Ray cluster has {self._needs()}:"
                    " see `ray status`, and give smaller numbers"
                )
            self._wait_for_actors()
        except BaseException:
            self.close()
            raise
        return self

    def _connect(self) -> None:
        """Connect to the cluster or start a local Ray, unless this process is connected already."""
        if self._ray.is_initialized():
            return
        with _signal_handlers_restored():
            if self._settings.address is None:
                self._start_local_ray()
            else:
                self._connect_to(self._settings.address)
        self._connection.callback(self._ray.shutdown)
        self._connection.enter_context(_output_logged(self._ray))

    def _start_local_ray(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        workers = self._settings.workers
        self._ray.init(
            address="local",
            num_cpus=math.ceil(self._num_cpus * workers) if workers else None,
            num_gpus=len(visible_gpus()),
            include_dashboard=False,
            object_store_memory=LOCAL_OBJECT_STORE,
            **QUIET,
        )

    def _connect_to(self, address: str) -> None:
        try:
            _probe(address)
            self._ray.init(address=address, **QUIET)
        except (OSError, UnicodeError):  # a ConnectionError is one; the other is a bad host name
            raise UserError(
                f"cannot connect to the Ray cluster at execution.address={address}. Start one with"
                " `ray start --head`; if it has a token, this machine needs the same in"
                " ~/.ray/auth_token. Without an address, Ray runs on this machine alone"
            ) from None

    def _scale(self) -> None:
        """Start and remove actors, so that there are as many as the cluster has room for."""
        self._scaled = time.monotonic()
        nodes = self._nodes()
        for actor in list(self._actors.values()):
            if actor.idle and actor.node not in nodes:
                self._remove(actor)
        if self._num_gpus is None:
            self._num_gpus = (
                float(self._settings.devices_per_candidate)
                if any(node.get("GPU") for node in nodes.values())
                else 0.0
            )
        # A given number of workers is requested even without room: this makes an autoscaling
        # cluster grow.
        wanted = self._settings.workers or sum(map(self._room, nodes.values()))
        surplus = max(0, len(self._actors) - wanted)
        starting = [actor for actor in self._actors.values() if not actor.ready]
        for actor in starting[:surplus]:  # the node that they were to start on is gone
            self._remove(actor)
        for number in itertools.count():
            if len(self._actors) >= wanted:
                return
            if number not in self._actors:
                self._actors[number] = self._start(number)

    def _nodes(self) -> dict[str, dict[str, float]]:
        """Return the resources of each live node by its id."""
        return {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}

    def _room(self, resources: dict[str, float]) -> int:
        room = resources.get("CPU", 0.0) / self._num_cpus
        if self._num_gpus:
            room = min(room, resources.get("GPU", 0.0) / self._num_gpus)
        return math.floor(room + 1e-9)

    def _needs(self) -> str:
        return f"num_cpus={self._num_cpus:g}, num_gpus={self._num_gpus:g}"

    def _start(self, number: int) -> ActorState:
        settings = self._settings
        alone = ProcessesSettings(
            workers=1,
            devices_per_candidate=settings.devices_per_candidate,
            time_limit=settings.time_limit,
            memory_limit=settings.memory_limit,
        )
        actor_class = self._ray.remote(
            num_cpus=self._num_cpus, num_gpus=self._num_gpus, scheduling_strategy="SPREAD"
        )(WorkerActor)
        actor = ActorState(
            number,
            actor_class.remote(alone, self._make_evaluator, Path.cwd(), bool(self._num_gpus)),
        )
        self._request(actor)
        return actor

    def _request(self, actor: ActorState) -> None:
        """Ask an actor for the evaluation of its candidate, or to start if it has none."""
        reply = (
            actor.handle.evaluate.remote(actor.candidate)
            if actor.candidate
            else actor.handle.start.remote()
        )
        reply.future().add_done_callback(lambda future: self._replies.put((actor, future)))

    def _remove(self, actor: ActorState) -> None:
        del self._actors[actor.number]
        with suppress(Exception):  # it may have ended already
            self._ray.kill(actor.handle)

    def _wait_for_actors(self) -> None:
        """Wait until all actors are ready, or START_SECONDS have passed and one is ready."""
        deadline = time.monotonic() + START_SECONDS
        warned = False
        while not self._actors or not all(actor.ready for actor in self._actors.values()):
            self._dispatch()
            self._next_reply()
            if time.monotonic() < deadline:
                continue
            if any(actor.ready for actor in self._actors.values()):
                return
            if not warned:
                _log.warning(
                    "no worker has started: waiting until the Ray cluster has %s free"
                    " (see `ray status`)",
                    self._needs(),
                )
                warned = True

    def _dispatch(self) -> None:
        """Give queued candidates to idle actors, after a check of the nodes if it is due."""
        if time.monotonic() - self._scaled > POLL_SECONDS:
            self._scale()
        ready = {actor.name: actor for actor in self._actors.values() if actor.ready}
        for name, actor in ready.items():
            if actor.idle and (candidate := self._queue.take(name, ready)):
                actor.candidate = candidate
                self._request(actor)

    def _next_reply(self) -> Evaluation | None:
        """Wait at most POLL_SECONDS for the reply of an actor; return its evaluation if any."""
        try:
            actor, future = self._replies.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return None
        if self._actors.get(actor.number) is not actor:
            return None  # removed in the meantime
        try:
            reply = future.result()
        except self._ray.exceptions.ActorUnavailableError:
            self._request(actor)  # either it replies now, or Ray knows why it cannot
            return None
        except self._ray.exceptions.RayError as error:
            self._remove(actor)
            return self._lost(actor, error)
        match reply:
            case UserError() | SearchError():
                raise reply
            case Evaluation():
                actor.candidate = None
                return reply.at(actor.name)
            case _:
                actor.node, actor.ready, self._failed_starts = str(reply), True, 0
                return None

    def _lost(self, actor: ActorState, error: Exception) -> Evaluation | None:
        """Return the failure of a lost actor as the outcome of its candidate, if it has one.

        Raises:
            SearchError: MAX_FAILED_STARTS actors in a row were lost before they were ready.
        """
        failure = self._failure(actor, error)
        if not actor.ready and failure.kind is not FailureKind.NODE_LOST:
            self._failed_starts += 1
            if self._failed_starts == MAX_FAILED_STARTS:
                raise SearchError(
                    f"workers could not be started, {MAX_FAILED_STARTS} times in a row:"
                    f" {failure.message}\n{failure.traceback}"
                )
        return Evaluation(actor.candidate, failure) if actor.candidate else None

    def _failure(self, actor: ActorState, error: Exception) -> Failure:
        """Return the failure for an error of Ray, which tells most kinds only in its text."""
        text = str(error)
        no_memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        if no_memory or "running low on memory" in text:
            message = "Ray ended the worker: its node ran out of memory"
            return Failure(FailureKind.OUT_OF_MEMORY, message, text, actor.name)
        if "node has died" in text or (actor.node and actor.node not in self._nodes()):
            return Failure(FailureKind.NODE_LOST, "the node was lost", text, actor.name)
        return Failure(FailureKind.WORKER_DIED, "the worker's actor died", text, actor.name)

    def close(self) -> None:
        """Stop all actors, and leave the cluster."""
        for actor in list(self._actors.values()):
            self._remove(actor)
        self._queue.clear()
        self._connection.close()


@dataclass(eq=False)
class ActorState:
    """State of an actor.

    Attributes:
        number: number of the actor; a replacement may get the same.
        handle: Ray's handle of the actor.
        node: id of the node that it runs on, once it is ready.
        ready: whether its worker is prepared.
        candidate: the candidate in evaluation, or None.
    """

    number: int
    handle: Any
    node: str = ""
    ready: bool = False
    candidate: Candidate | None = None

    @property
    def name(self) -> str:
        """Name of the actor in failures."""
        return f"worker {self.number} on node {self.node[:8]}"

    @property
    def idle(self) -> bool:
        """Whether it can take a candidate."""
        return self.ready and self.candidate is None


class WorkerActor:
    """The actor: runs one worker of ``execution=processes``, so that failures are the same."""

    def __init__(
        self, settings: ProcessesSettings, make_evaluator: bytes, folder: Path, on_gpu: bool
    ) -> None:
        with suppress(OSError):  # a node may not have the folder
            os.chdir(folder)  # relative paths start there
        if not on_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._settings, self._make_evaluator = settings, make_evaluator
        self._executor: ProcessesExecutor | None = None

    def start(self) -> str | UserError | SearchError:
        """Prepare the worker if it is not prepared yet; return the id of its node."""
        import ray

        try:
            if self._executor is None:
                # Here, not at construction: a mistake about a plug-in is returned, not raised.
                executor = ProcessesExecutor(self._settings, unpickled(self._make_evaluator))
                self._executor = executor.__enter__()
        except (UserError, SearchError) as error:
            return error
        return ray.get_runtime_context().get_node_id()

    def evaluate(self, candidate: Candidate) -> Evaluation | UserError | SearchError:
        """Evaluate a candidate; also return an evaluation if the worker dies."""
        assert self._executor is not None, "evaluate follows start"
        try:
            self._executor.submit(candidate)
            return self._executor.collect()
        except (UserError, SearchError) as error:
            return error


def _probe(address: str) -> None:
    """Raise OSError if nothing listens at the address; Ray itself would try for minutes."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _output_logged(ray: Any) -> Iterator[None]:
    """Send what Ray prints about its processes to the log; failures report it, too."""
    worker = ray._private.worker
    before = getattr(worker, "print_to_stdstream", None)
    worker.print_to_stdstream = lambda data, **_: _log.info("%s", "\n".join(data["lines"]))
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    """Restore the signal handlers of the search at the end of the block: Ray sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
