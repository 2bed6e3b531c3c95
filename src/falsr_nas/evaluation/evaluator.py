"""The protocol of every evaluator, and the seed of an evaluation."""

from __future__ import annotations

import hashlib
from typing import Protocol

from falsr_nas.candidate import Candidate, Failure, Score


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
