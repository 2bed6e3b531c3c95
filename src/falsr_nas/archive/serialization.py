"""Conversion of candidates and evaluations to JSON and to rows of the store, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from falsr_nas.archive.candidate import (
    Candidate,
    Evaluation,
    Failure,
    FailureKind,
    Origin,
    Score,
)
from falsr_nas.archive.schema import SCORE_COLUMNS
from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome


def candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as a JSON object, for the state of a search."""
    origin = candidate.origin
    return {
        "number": candidate.number,
        "generation": candidate.generation,
        "genome": str(candidate.genome),
        "cost": [candidate.cost.params, candidate.cost.mult_adds],
        "origin": [origin.operators, origin.parents, origin.log_prob],
    }


def candidate_from_json(data: dict[str, Any]) -> Candidate:
    """Return the candidate of a JSON object of :func:`candidate_to_json`."""
    operators, parents, log_prob = data["origin"]
    origin = Origin(tuple(operators), tuple(parents), log_prob)
    return Candidate(
        Genome.parse(data["genome"]),
        Cost(*data["cost"]),
        origin,
        data["generation"],
        data["number"],
    )


def row_of_evaluation(evaluation: Evaluation) -> tuple[Any, ...]:
    """Return an evaluation as :data:`~falsr_nas.archive.schema.COLUMNS` and ``SCORE_COLUMNS``."""
    candidate, score, outcome = evaluation.candidate, evaluation.score, evaluation.outcome
    return (
        candidate.number,
        candidate.key,
        str(candidate.genome),
        candidate.generation,
        candidate.cost.params,
        candidate.cost.mult_adds,
        outcome.kind.value if isinstance(outcome, Failure) else None,
        json.dumps(candidate.origin.operators),
        json.dumps(candidate.origin.parents),
        candidate.origin.log_prob,
        *(score and getattr(score, name) for name in SCORE_COLUMNS.split(", ")),
    )


def evaluation_of_row(row: tuple[Any, ...], failures: Sequence[Failure]) -> Evaluation:
    """Return the evaluation of a row of the table ``evaluations``.

    Args:
        row: the columns of :data:`~falsr_nas.archive.schema.COLUMNS`, then of the score.
        failures: failures of all attempts in order; if the row has no score, the last one is the
            outcome.
    """
    (
        number,
        key,
        genome,
        generation,
        params,
        mult_adds,
        kind,
        operators,
        parents,
        log_prob,
        *score,
    ) = row
    for whole in (number, generation, params, mult_adds):
        if type(whole) is not int or whole < 0:
            raise ValueError(f"{whole!r:.60} is no count")
    parents = json.loads(parents)
    if not isinstance(parents, list) or not all(isinstance(one, str) for one in parents):
        raise ValueError("the parents are no keys")
    origin = Origin(_operators(operators), tuple(parents), _finite(log_prob))
    candidate = Candidate(
        Genome.recall(genome, key), Cost(params, mult_adds), origin, generation, number
    )
    if kind is None:
        return Evaluation(candidate, _score(score), tuple(failures))
    return Evaluation(candidate, failures[-1], tuple(failures[:-1]))


def _score(row: Sequence[Any]) -> Score:
    mse, psnr, seconds, steps, *latency = row
    score = Score(float(mse), float(psnr), float(seconds), steps and int(steps), *latency)
    for value in (score.mse, score.psnr, score.seconds, *latency):
        _finite(value)
    return score


def _finite(value: Any) -> Any:
    """Return a number that is neither infinite nor NaN, or None."""
    if value is None or math.isfinite(value):
        return value
    raise ValueError(f"{value} is no finite number")


@lru_cache
def _operators(text: str) -> tuple[str, ...]:
    operators = json.loads(text)
    if not isinstance(operators, list) or not all(isinstance(one, str) for one in operators):
        raise ValueError(f"{text:.60} are no operators")
    return tuple(operators)


def failure_of_row(kind: str, message: str, traceback: str, place: str) -> Failure:
    """Return the failure of a row of the table ``failures``."""
    if not all(isinstance(text, str) for text in (message, traceback, place)):
        raise ValueError("the text of a failure is missing")
    return Failure(FailureKind(kind), message, traceback, place)
