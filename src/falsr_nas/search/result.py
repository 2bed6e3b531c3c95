"""The result of a search, for scripts and notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from falsr_nas.archive.candidate import Evaluation, FailedAttempt
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import flat_row


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        folder: the run folder, which holds the store and the report.
        front: the Pareto front by ascending mult-adds, or another first objective beside PSNR.
        evaluations: all evaluations by number, also failed ones.
        failures: all failed attempts.
        hypervolume: hypervolume of the front, in 0..1.
        problem: what the search looked for.
    """

    folder: Path
    front: tuple[Evaluation, ...]
    evaluations: tuple[Evaluation, ...]
    failures: tuple[FailedAttempt, ...]
    hypervolume: float
    problem: Problem

    def rows(self) -> list[dict[str, object]]:
        """Return one flat dictionary per evaluation, e.g. for ``pandas.DataFrame``.

        The columns are those of :func:`~falsr_nas.objectives.summary.flat_row`, then ``on_front``
        and the search's objectives beside PSNR, mult-adds and parameters, such as ``latency`` in
        ms.
        """
        on_front = {evaluation.key for evaluation in self.front}
        return [
            flat_row(evaluation)
            | {"on_front": evaluation.key in on_front}
            | self.problem.numbers(evaluation)
            for evaluation in self.evaluations
        ]
