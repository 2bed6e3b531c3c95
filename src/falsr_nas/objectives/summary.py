"""Summary of a search for progress, trackers and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from falsr_nas.archive.candidate import Evaluation, Failure, Score
from falsr_nas.objectives.problem import Problem


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """Summary of a search after a generation.

    Attributes:
        generation: the last generation with evaluations, counted from 0; -1 if there are none.
        candidates: number of evaluations, including failures.
        failures: number of evaluations without a score.
        best_psnr: highest PSNR in dB, or None if there is no score.
        hypervolume: hypervolume of the front, in 0..1.
        front_size: number of networks on the front.
        failures_by_kind: number of failures of each kind that occurred.
        retries: number of attempts beyond the first, over all evaluations.
    """

    generation: int
    candidates: int
    failures: int
    best_psnr: float | None
    hypervolume: float
    front_size: int
    failures_by_kind: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0


def summarise(evaluations: Sequence[Evaluation], problem: Problem) -> SearchSummary:
    """Summarise the evaluations of a search."""
    front = problem.front(evaluations)
    outcomes = [evaluation.outcome for evaluation in evaluations]
    scores = [outcome for outcome in outcomes if isinstance(outcome, Score)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    return SearchSummary(
        generation=max((member.candidate.generation for member in evaluations), default=-1),
        candidates=len(evaluations),
        failures=len(failures),
        best_psnr=max((score.psnr for score in scores), default=None),
        hypervolume=problem.hypervolume(front),
        front_size=len(front),
        failures_by_kind=dict(Counter(failure.kind.value for failure in failures)),
        retries=sum(len(evaluation.earlier) for evaluation in evaluations),
    )


def flat_row(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as a flat row of a table.

    PSNR is in dB, MSE in squared 8-bit levels; mult-adds are those at 1280x720 output.
    ``steps`` are the optimiser steps behind the weights. What a failed evaluation has not is None.
    """
    candidate, score = evaluation.candidate, evaluation.score
    return {
        "number": candidate.number,
        "generation": candidate.generation,
        "key": candidate.key,
        "genome": str(candidate.genome),
        "psnr": score and score.psnr,
        "mse": score and score.mse,
        "mult_adds": candidate.cost.mult_adds,
        "params": candidate.cost.params,
        "seconds": score and score.seconds,
        "operators": " ".join(candidate.origin.operators),
        "steps": score and score.steps,
        "attempts": evaluation.attempts,
    }
