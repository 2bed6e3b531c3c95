"""The protocol of evaluators, the seed of an evaluation, and failures."""

from __future__ import annotations

import hashlib
import math
import traceback
from typing import Protocol

from falsr_nas.archive.candidate import (
    Candidate,
    Evaluation,
    Failure,
    FailureKind,
    Score,
)
from falsr_nas.core.errors import UserError
from falsr_nas.core.interruption import Interrupted
from falsr_nas.core.plugins import explained
from falsr_nas.data.errors import DataError

OUT_OF_MEMORY = ("out of memory", "allocate memory", "bad_alloc", "alloc_failed")
"""Words by which messages of torch, C++ and CUDA libraries report that memory ran out."""


MAX_MESSAGE, MAX_TRACEBACK = 1_000, 100_000
"""Characters of a failure that are kept."""


class Evaluator(Protocol):
    """Scores candidates.

    An evaluator is built from plain settings in the process that uses it, and evaluates many
    candidates.
    """

    def prepare(self) -> None:
        """Load what every evaluation needs.

        Raises:
            UserError: for a mistake that the user can correct.
        """
        ...

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        """Evaluate a candidate.

        The outcome is the same in every process and on every call.
        """
        ...


def evaluation_seed(run_seed: int, key: str) -> int:
    """Return the seed of an evaluation, in 0..2**63-1.

    It depends on the search's seed and the genome, not on the worker or the order.
    """
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{key}".encode()).digest()[:8]) >> 1


def attempt(evaluator: Evaluator, candidate: Candidate) -> Evaluation:
    """Evaluate a candidate and turn an exception into a failure of its kind.

    Only mistakes of the user are raised: they would make every candidate fail.
    """
    try:
        return Evaluation(candidate, _checked(evaluator.evaluate(candidate)))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | Interrupted):
            raise
        if isinstance(error, UserError) and not isinstance(error, DataError):
            raise
        return Evaluation(candidate, failure_of(error))


def failure_of(error: BaseException) -> Failure:
    """Return the failure for an exception that was just caught; it names the line of a plug-in."""
    message = str(error)
    if not isinstance(error, DataError):
        message = explained(error) or f"{type(error).__name__}: {error}"
    failure = Failure(_kind(error), message.partition("\n")[0], traceback.format_exc())
    return _storable(failure)


def _storable(failure: Failure) -> Failure:
    """Return a failure whose texts can be stored and printed, whatever an evaluator raised."""
    message, trace = failure.message[:MAX_MESSAGE], failure.traceback[-MAX_TRACEBACK:]
    message, trace = (one.encode(errors="backslashreplace").decode() for one in (message, trace))
    return Failure(failure.kind, message, trace, failure.place)


def _checked(outcome: object) -> Score | Failure:
    """Check that an outcome is a failure, or a score of finite numbers."""
    if isinstance(outcome, Failure):
        return _storable(outcome)
    if isinstance(outcome, Score):
        numbers = (outcome.mse, outcome.psnr, outcome.seconds, outcome.latency or 0.0)
        if all(isinstance(number, float | int) for number in numbers):
            if all(map(math.isfinite, numbers)):
                return outcome
            message = f"the score is not a number: MSE {outcome.mse}, PSNR {outcome.psnr} dB"
            return Failure(FailureKind.DIVERGED, message)
    raise TypeError(f"the evaluator returned {outcome!r:.200}, which is not a score")


def _kind(error: BaseException) -> FailureKind:
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.BAD_DATA if isinstance(error, DataError) else FailureKind.BUG
