"""The executor in the process of the search."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Self

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.core.closing import Closing
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.execution.executor import MakeEvaluator
from falsr_nas.execution.settings import InlineSettings


class InlineExecutor(Closing):
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

    def close(self) -> None:
        """Forget the candidates that were not evaluated."""
        self._queue.clear()
