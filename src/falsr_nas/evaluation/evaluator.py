"""The protocol of every evaluator, and the seed of an evaluation."""

from __future__ import annotations

import hashlib
import math
import traceback
from typing import Protocol

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Score
from falsr_nas.data.errors import DataError
from falsr_nas.errors import UserError

OUT_OF_MEMORY = ("out of memory", "allocate memory", "bad_alloc", "alloc_failed")
"""How torch, the C++ library and CUDA's libraries say that memory ran out."""


class Evaluator(Protocol):
    """Scores candidates. It is built from plain settings, in the process that uses it, and lives on from candidate to candidate."""

    def prepare(self) -> None:
        """Load what every evaluation needs. Raises UserError for what a user can mend, before anything was spent."""
        ...

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        """The outcome of a candidate: the same on every call, whoever calls, whatever came before."""
        ...


def evaluation_seed(run_seed: int, key: str) -> int:
    """The seed of one evaluation, in 0..2**63-1: it depends on the search's seed and the genome, never on the worker or the order."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{key}".encode()).digest()[:8]) >> 1


def attempt(evaluator: Evaluator, candidate: Candidate) -> Evaluation:
    """Evaluate; an exception becomes a failure of its kind. Only a user's mistake is raised: no candidate would fare better."""
    try:
        return Evaluation(candidate, _checked(evaluator.evaluate(candidate)))
    except Exception as error:
        if isinstance(error, UserError) and not isinstance(error, DataError):
            raise
        return Evaluation(candidate, failure_of(error))


def failure_of(error: Exception) -> Failure:
    """The failure of its kind that an exception, just caught, is."""
    message = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
    return Failure(_kind(error), message.partition("\n")[0], traceback.format_exc())


def _checked(outcome: object) -> Score | Failure:
    """An outcome as it travels and is stored: plain strings, or plain numbers that are numbers."""
    if isinstance(outcome, Failure):
        return outcome
    if not isinstance(outcome, Score) or not all(
        isinstance(number, float | int) for number in _numbers(outcome)
    ):
        raise TypeError(f"the evaluator gave {outcome!r:.200}, which is no score")
    if not all(map(math.isfinite, _numbers(outcome))):
        return Failure(
            FailureKind.DIVERGED,
            f"the score is no number: MSE {outcome.mse}, PSNR {outcome.psnr} dB",
        )
    return outcome


def _numbers(score: Score) -> tuple[float, float, float]:
    return score.mse, score.psnr, score.seconds


def _kind(error: Exception) -> FailureKind:
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.BAD_DATA if isinstance(error, DataError) else FailureKind.BUG
