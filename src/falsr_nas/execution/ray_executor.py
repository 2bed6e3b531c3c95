"""Evaluations in a Ray cluster: a Ray of its own on this machine, or machines that come and go while the search runs."""

from __future__ import annotations

import itertools
import logging
import math
import os
import pickle
import queue
import signal
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.errors import SearchError, UserError
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.executor import MakeEvaluator, Waiting
from falsr_nas.execution.processes import STARTS, ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings, RaySettings

LOCAL_OBJECT_STORE = 100 * 2**20
"""Bytes of shared memory of a Ray of our own: candidates and scores are all that travels."""

LOOK_SECONDS = 2.0
"""Between two looks at which nodes there are."""

PATIENCE = 30.0
"""Seconds for all workers to start before a search begins with those that have; and for none to, before a warning."""

_log = logging.getLogger(__name__)


class RayExecutor:
    """Persistent actors spread over the nodes of a cluster, one candidate each at a time; each of them has one worker process.

    A lost actor is replaced where there is room, and new nodes get new ones: the capacity is the
    number of those that are ready. Where none is left, the search waits for nodes to come.
    """

    def __init__(self, settings: RaySettings, make_evaluator: MakeEvaluator) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise UserError(
                "execution=ray needs the library ray, which is not installed: pip install 'falsr-nas[ray]'"
            ) from None
        self._ray: Any = ray
        self._settings = settings
        self._make_evaluator = pickle.dumps(make_evaluator)
        self._hosts: dict[int, Host] = {}
        self._heard: queue.SimpleQueue[tuple[Host, Any]] = queue.SimpleQueue()
        self._waiting = Waiting()
        self._failed_starts = 0
        self._looked = -math.inf
        self._connection = ExitStack()
        self._num_cpus = settings.num_cpus or float(settings.devices_per_candidate)
        self._num_gpus = settings.num_gpus

    @property
    def capacity(self) -> int:
        """How many evaluations run at once, as of now; 1 while it waits for a node, so that something waits with it."""
        return max(1, sum(host.ready for host in self._hosts.values()))

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Give the candidate to an idle actor, or queue it."""
        self._waiting.add(candidate, avoid)
        self._hand_out()

    def collect(self) -> Evaluation:
        """The next evaluation to end; an actor that is lost, with or without its node, counts as one that ended."""
        while True:
            self._hand_out()
            if evaluation := self._hear():
                self._hand_out()
                return evaluation

    def __enter__(self) -> Self:
        try:
            self._connect()
            self._scale()
            if not self._hosts:
                raise UserError(
                    f"no node of the Ray cluster has {self._needs()}: see `ray status`, and give fewer"
                )
            self._await_hosts()
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

    def _connect(self) -> None:
        """Connect to the cluster, or start one of our own. Within a process that has connected already, that cluster is used."""
        if self._ray.is_initialized():
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        with _signal_handlers_kept():
            if self._settings.address is None:
                os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
                self._ray.init(
                    address="local",
                    num_cpus=math.ceil(self._num_cpus * self._settings.workers)
                    if self._settings.workers
                    else None,
                    num_gpus=len(visible_gpus()),
                    include_dashboard=False,
                    object_store_memory=LOCAL_OBJECT_STORE,
                    **quiet,
                )
            else:
                try:
                    _probe(self._settings.address)
                    self._ray.init(address=self._settings.address, **quiet)
                except OSError:  # a ConnectionError is one
                    raise UserError(
                        f"execution.address={self._settings.address}: no Ray cluster lets us in there. Start one by `ray start --head`; "
                        "if it has a token, this machine needs the same in ~/.ray/auth_token. Without an address, Ray is this machine alone"
                    ) from None
        self._connection.callback(self._ray.shutdown)
        self._connection.enter_context(_quiet(self._ray))

    def _scale(self) -> None:
        """Have as many actors as there is room for."""
        self._looked = time.monotonic()
        nodes = self._nodes()
        for host in list(self._hosts.values()):
            if host.idle and host.node not in nodes:
                self._remove(host)
        if self._num_gpus is None:
            self._num_gpus = (
                float(self._settings.devices_per_candidate)
                if any(node.get("GPU") for node in nodes.values())
                else 0.0
            )
        # A given number is asked for whatever there is: that is what makes an autoscaling cluster
        # grow.
        wanted = self._settings.workers or sum(map(self._room, nodes.values()))
        for host in [host for host in self._hosts.values() if not host.ready][
            : max(0, len(self._hosts) - wanted)
        ]:
            self._remove(host)  # the room that it was to have is gone
        for number in itertools.count():
            if len(self._hosts) >= wanted:
                return
            if number not in self._hosts:
                self._hosts[number] = self._start(number)

    def _nodes(self) -> dict[str, dict[str, float]]:
        """The resources of each node that is alive, by its id."""
        return {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}

    def _room(self, resources: dict[str, float]) -> int:
        room = resources.get("CPU", 0.0) / self._num_cpus
        if self._num_gpus:
            room = min(room, resources.get("GPU", 0.0) / self._num_gpus)
        return math.floor(room + 1e-9)

    def _needs(self) -> str:
        return f"num_cpus={self._num_cpus:g}, num_gpus={self._num_gpus:g}"

    def _start(self, number: int) -> Host:
        settings = self._settings
        alone = ProcessesSettings(
            workers=1,
            devices_per_candidate=settings.devices_per_candidate,
            time_limit=settings.time_limit,
            memory_limit=settings.memory_limit,
        )
        actor_class = self._ray.remote(
            num_cpus=self._num_cpus, num_gpus=self._num_gpus, scheduling_strategy="SPREAD"
        )(HostActor)
        host = Host(
            number,
            actor_class.remote(alone, self._make_evaluator, Path.cwd(), bool(self._num_gpus)),
        )
        self._ask(host)
        return host

    def _ask(self, host: Host) -> None:
        answer = (
            host.actor.evaluate.remote(host.candidate)
            if host.candidate
            else host.actor.start.remote()
        )
        answer.future().add_done_callback(lambda future: self._heard.put((host, future)))

    def _remove(self, host: Host) -> None:
        del self._hosts[host.number]
        with suppress(Exception):  # it may be gone already
            self._ray.kill(host.actor)

    def _await_hosts(self) -> None:
        until = time.monotonic() + PATIENCE
        warned = False
        while not self._hosts or not all(host.ready for host in self._hosts.values()):
            self._hand_out()
            self._hear()
            if time.monotonic() < until:
                continue
            if any(host.ready for host in self._hosts.values()):
                return
            if not warned:
                _log.warning(
                    "no worker has started yet: waiting until the Ray cluster has %s free (see `ray status`)",
                    self._needs(),
                )
                warned = True

    def _hand_out(self) -> None:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._scale()
        places = {host.name: host for host in self._hosts.values() if host.ready}
        for name, host in places.items():
            if host.idle and (candidate := self._waiting.take(name, places)):
                host.candidate = candidate
                self._ask(host)

    def _hear(self) -> Evaluation | None:
        """The next thing that an actor has to say, and the evaluation if it is one; None also where none speaks for a while."""
        try:
            host, future = self._heard.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None
        if self._hosts.get(host.number) is not host:
            return None
        try:
            answer = future.result()
        except self._ray.exceptions.ActorUnavailableError:
            self._ask(
                host
            )  # again: either it answers, now that it can be reached, or Ray knows by now what became of it
            return None
        except self._ray.exceptions.RayError as error:
            self._remove(host)
            return self._lost(host, error)
        match answer:
            case UserError() | SearchError():
                raise answer
            case Evaluation(candidate, outcome):
                host.candidate = None
                return Evaluation(
                    candidate,
                    replace(outcome, place=host.name) if isinstance(outcome, Failure) else outcome,
                )
            case _:
                host.node, host.ready, self._failed_starts = str(answer), True, 0
                return None

    def _lost(self, host: Host, error: Exception) -> Evaluation | None:
        failure = self._failure(host, error)
        if not host.ready and failure.kind is not FailureKind.NODE_LOST:
            self._failed_starts += 1
            if self._failed_starts == STARTS:
                raise SearchError(
                    f"workers could not be started, {STARTS} times in a row: {failure.message}\n{failure.traceback}"
                )
        return Evaluation(host.candidate, failure) if host.candidate else None

    def _failure(self, host: Host, error: Exception) -> Failure:
        """What the end of an actor is to the search; Ray tells most of it in words only."""
        text = str(error)
        if (
            isinstance(error, self._ray.exceptions.OutOfMemoryError)
            or "running low on memory" in text
        ):
            return Failure(
                FailureKind.OUT_OF_MEMORY,
                "Ray ended the worker: its node ran out of memory",
                text,
                host.name,
            )
        if "node has died" in text or (host.node and host.node not in self._nodes()):
            return Failure(FailureKind.NODE_LOST, "the node is gone", text, host.name)
        return Failure(FailureKind.WORKER_DIED, "the worker's actor died", text, host.name)

    def _stop(self) -> None:
        for host in list(self._hosts.values()):
            self._remove(host)
        self._waiting.clear()
        self._connection.close()


@dataclass(eq=False)
class Host:
    """An actor, seen from the search.

    Attributes:
        number: its number, which its replacement takes over.
        actor: Ray's handle of it.
        node: id of the node that it runs on, once it is ready.
        ready: whether its worker is prepared.
        candidate: what it works on.
    """

    number: int
    actor: Any
    node: str = ""
    ready: bool = False
    candidate: Candidate | None = None

    @property
    def name(self) -> str:
        """Its place as failures name it."""
        return f"worker {self.number} on node {self.node[:8]}"

    @property
    def idle(self) -> bool:
        """Whether it can take a candidate."""
        return self.ready and self.candidate is None


class HostActor:
    """An actor, from its own side: one worker of the ``processes`` backend on some node, so that faults are the same in both."""

    def __init__(
        self, settings: ProcessesSettings, make_evaluator: bytes, folder: Path, on_gpu: bool
    ) -> None:
        vars(sys.modules["__main__"]).pop(
            "__file__", None
        )  # Ray's own script, which a spawned worker would load for nothing
        with suppress(OSError):
            os.chdir(folder)  # where there is one: relative paths are meant from there
        if not on_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._executor = ProcessesExecutor(settings, pickle.loads(make_evaluator))
        self._started = False

    def start(self) -> str | UserError | SearchError:
        """Prepare the worker, once; the id of the node that it is on."""
        import ray

        try:
            if not self._started:
                self._executor.__enter__()
        except (UserError, SearchError) as error:
            return error
        self._started = True
        return ray.get_runtime_context().get_node_id()

    def evaluate(self, candidate: Candidate) -> Evaluation | UserError | SearchError:
        """The candidate's evaluation, whatever happens to the worker."""
        try:
            self._executor.submit(candidate)
            return self._executor.collect()
        except (UserError, SearchError) as error:
            return error


def _probe(address: str) -> None:
    """Raise OSError where nobody answers at a head's address: Ray itself would try for minutes."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Ray prints what befalls its processes on standard output, whatever it is told; failures say it, too, so it goes to the log."""
    worker = ray._private.worker
    before = getattr(worker, "print_to_stdstream", None)
    worker.print_to_stdstream = lambda data, **_: _log.info("%s", "\n".join(data["lines"]))
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Give the search its handlers back: Ray sets its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
