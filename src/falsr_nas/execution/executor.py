"""The protocol of every executor, and the simplest one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Protocol, Self

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.evaluation.evaluator import Evaluator, attempt
from falsr_nas.execution.settings import InlineSettings

MakeEvaluator = Callable[[], Evaluator]
"""Builds the evaluator in the process that will use it; it travels there, so it must pickle."""


class Executor(Protocol):
    """Runs evaluations, some at once, and gives each back as it ends: once for each time that its candidate was taken on.

    A context manager: entering prepares the evaluators, and raises UserError for what a user can
    mend; leaving drops what still runs.
    """

    @property
    def capacity(self) -> int:
        """How many evaluations run at once."""
        ...

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Take on a candidate; returns at once.

        Args:
            candidate: to evaluate.
            avoid: places (as ``Failure.place`` names them) where it is not to run, unless there is
                no other.
        """
        ...

    def collect(self) -> Evaluation:
        """The next evaluation to end, of those taken on; waits for it. A failure names its place.

        Raises:
            UserError: for what a user can mend.
            SearchError: no worker can be had any more.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Waiting:
    """Candidates that wait for a place, in the order in which they came."""

    def __init__(self) -> None:
        self._queue: list[tuple[Candidate, frozenset[str]]] = []

    def add(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Let a candidate wait; ``avoid`` as of :meth:`Executor.submit`."""
        self._queue.append((candidate, frozenset(avoid)))

    def take(self, place: str, places: Collection[str]) -> Candidate | None:
        """The first candidate that may run at ``place``, which is one of ``places``; None where all wait for another."""
        for i, (candidate, avoid) in enumerate(self._queue):
            if place not in avoid or avoid.issuperset(places):
                del self._queue[i]
                return candidate
        return None

    def clear(self) -> None:
        """Drop them all."""
        self._queue.clear()


class InlineExecutor:
    """One evaluation at a time, in this process."""

    capacity = 1

    def __init__(self, settings: InlineSettings, make_evaluator: MakeEvaluator) -> None:
        self.settings = settings
        self._make_evaluator = make_evaluator
        self._waiting: deque[Candidate] = deque()

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Queue a candidate. There is no other place."""
        self._waiting.append(candidate)

    def collect(self) -> Evaluation:
        """Evaluate the candidate that waits longest."""
        return attempt(self._evaluator, self._waiting.popleft())

    def __enter__(self) -> Self:
        self._evaluator = self._make_evaluator()
        self._evaluator.prepare()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting.clear()
