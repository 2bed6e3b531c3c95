"""The protocol of every evaluator, and the seed of an evaluation."""

from __future__ import annotations

import hashlib
import traceback
from typing import Protocol

from falsr_nas.candidate import Candidate, Evaluation, Failure, FailureKind, Score
from falsr_nas.errors import UserError


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
        return Evaluation(candidate, evaluator.evaluate(candidate))
    except UserError:
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        return Evaluation(candidate, Failure(_kind(error), message, traceback.format_exc()))


def _kind(error: Exception) -> FailureKind:
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.BUG
