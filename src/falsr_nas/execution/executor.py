"""The protocol of executors, the queue that they share, and the executor in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Protocol, Self

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.evaluation.evaluator import Evaluator, attempt
from falsr_nas.execution.settings import InlineSettings

MakeEvaluator = Callable[[], Evaluator]
"""Builds the evaluator in the process that uses it. Except for ``inline``, it must be picklable."""


class Executor(Protocol):
    """Runs evaluations, possibly several at once, and returns each one when it ends.

    A context manager: entering it prepares the evaluators, leaving it cancels running evaluations.
    Entering raises UserError for a mistake that the user can correct.
    """

    @property
    def capacity(self) -> int:
        """Number of evaluations that run at once."""
        ...

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Submit a candidate for evaluation, without waiting for it.

        Args:
            candidate: the candidate.
            avoid: names of workers (as in ``Failure.place``) that should not evaluate it, if there
                is another one.
        """
        ...

    def collect(self) -> Evaluation:
        """Wait for the next evaluation that ends, and return it. Failures name their worker.

        Raises:
            UserError: for a mistake that the user can correct.
            SearchError: workers cannot be started any more.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class CandidateQueue:
    """Candidates that wait for a worker, in order of submission."""

    def __init__(self) -> None:
        self._queue: list[tuple[Candidate, frozenset[str]]] = []

    def add(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Append a candidate; ``avoid`` as in :meth:`Executor.submit`."""
        self._queue.append((candidate, frozenset(avoid)))

    def take(self, worker: str, workers: Collection[str]) -> Candidate | None:
        """Remove and return the first candidate that ``worker``, one of ``workers``, may evaluate.

        Returns None if there is none.
        """
        for i, (candidate, avoid) in enumerate(self._queue):
            if worker not in avoid or avoid.issuperset(workers):
                del self._queue[i]
                return candidate
        return None

    def clear(self) -> None:
        """Remove all candidates."""
        self._queue.clear()


class InlineExecutor:
    """Runs one evaluation at a time in this process."""

    capacity = 1

    def __init__(self, settings: InlineSettings, make_evaluator: MakeEvaluator) -> None:
        self.settings = settings
        self._make_evaluator = make_evaluator
        self._queue: deque[Candidate] = deque()

    def submit(self, candidate: Candidate, avoid: Collection[str] = ()) -> None:
        """Queue a candidate; ``avoid`` has no effect, as there is only one place."""
        self._queue.append(candidate)

    def collect(self) -> Evaluation:
        """Evaluate the first candidate of the queue."""
        return attempt(self._evaluator, self._queue.popleft())

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
        self._queue.clear()
