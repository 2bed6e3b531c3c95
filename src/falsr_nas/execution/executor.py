"""The protocol of every executor, and the simplest one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from falsr_nas.candidate import Candidate, Evaluation
from falsr_nas.evaluation.evaluator import Evaluator, attempt

MakeEvaluator = Callable[[], Evaluator]
"""Builds the evaluator in the process that will use it; it travels there, so it must pickle."""


class Executor(Protocol):
    """Runs evaluations, some at once, and gives each back as it ends.

    A context manager: entering prepares the evaluators, and raises UserError for what a user can mend; leaving drops what still runs.
    """

    @property
    def capacity(self) -> int:
        """How many evaluations run at once."""
        ...

    def submit(self, candidate: Candidate) -> None:
        """Take on a candidate; returns at once."""
        ...

    def collect(self) -> Evaluation:
        """The next evaluation to end, of those taken on; waits for it. Raises UserError for what a user can mend."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class InlineExecutor:
    """One evaluation at a time, in this process."""

    capacity = 1

    def __init__(self, make_evaluator: MakeEvaluator) -> None:
        self._make_evaluator = make_evaluator
        self._waiting: deque[Candidate] = deque()

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate."""
        self._waiting.append(candidate)

    def collect(self) -> Evaluation:
        """Evaluate the candidate that waits longest."""
        return attempt(self._evaluator, self._waiting.popleft())

    def __enter__(self) -> Self:
        self._evaluator = self._make_evaluator()
        self._evaluator.prepare()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._waiting.clear()
