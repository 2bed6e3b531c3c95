"""The result of a search, for scripts and notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from falsr_nas.archive.candidate import Evaluation, FailedAttempt
from falsr_nas.objectives.problem import Problem


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

        PSNR is in dB, MSE in squared 8-bit levels; mult-adds are those at 1280x720 output.
        ``scores`` is the number of trainings of which the PSNR is the mean, ``psnr_deviation``
        their standard deviation. Scores of failed evaluations are None. Objectives of the search
        beside PSNR, mult-adds and parameters, such as ``latency`` in ms, have columns at the end.
        """
        on_front = {evaluation.key for evaluation in self.front}
        return [
            _row(evaluation, evaluation.key in on_front) | self.problem.numbers(evaluation)
            for evaluation in self.evaluations
        ]


def _row(evaluation: Evaluation, on_front: bool) -> dict[str, object]:
    candidate, score = evaluation.candidate, evaluation.score
    return {
        "number": candidate.number,
        "generation": candidate.generation,
        "key": candidate.key,
        "genome": str(candidate.genome),
        "psnr": None if score is None else score.psnr,
        "mse": None if score is None else score.mse,
        "mult_adds": candidate.cost.mult_adds,
        "params": candidate.cost.params,
        "seconds": None if score is None else score.seconds,
        "operators": " ".join(candidate.origin.operators),
        "psnr_deviation": None if score is None else score.deviation,
        "scores": None if score is None else score.count,
        "steps": None if score is None else score.steps,
        "rung": evaluation.rung,
        "attempts": evaluation.attempts,
        "on_front": on_front,
    }
