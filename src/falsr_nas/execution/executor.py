"""The protocol of executors, and the queue that they share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.evaluation.evaluator import Evaluator

MakeEvaluator = Callable[[], Evaluator]
"""Builds the evaluator in the process that uses it. Except for ``inline``, it must be picklable."""


class Executor(AbstractContextManager["Executor", None], Protocol):
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
