"""The protocol of every executor, and the simplest one."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Protocol, Self

from falsr_nas.candidate import Candidate, Evaluation
from falsr_nas.evaluation.evaluator import Evaluator, attempt


class Executor(Protocol):
    """Runs evaluations, some at once, and gives each back as it ends.

    Attributes:
        capacity: how many evaluations run at once.
    """

    capacity: int

    def submit(self, candidate: Candidate) -> None:
        """Take on a candidate; returns at once."""
        ...

    def collect(self) -> Evaluation:
        """The next evaluation to end, of those taken on; waits for it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class InlineExecutor:
    """One evaluation at a time, in this process."""

    capacity = 1

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._waiting: deque[Candidate] = deque()

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate."""
        self._waiting.append(candidate)

    def collect(self) -> Evaluation:
        """Evaluate the candidate that waits longest."""
        return attempt(self.evaluator, self._waiting.popleft())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._waiting.clear()
