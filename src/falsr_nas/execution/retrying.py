"""Failure policies, for all executors: retry on another worker, give up, or stop the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from falsr_nas.archive.candidate import (
    AttemptOutcome,
    Candidate,
    Evaluation,
    FailedAttempt,
    Failure,
    FailureKind,
)
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.core.plugins import EXPLAINED
from falsr_nas.execution.executor import Executor
from falsr_nas.execution.settings import FailurePolicies, Then


class RetryingExecutor:
    """Applies failure policies to the candidates of an executor.

    An evaluation depends only on the genome and the seed of the search, so a candidate that
    succeeds at a later attempt has the score that it would have had at the first.

    Args:
        executor: runs the attempts; the caller enters and leaves it.
        policies: one policy per kind of failure.
        record: called with each failed attempt that is not the outcome of an evaluation: those that
            are retried, and the one that stops the search.
    """

    def __init__(
        self, executor: Executor, policies: FailurePolicies, record: Callable[[FailedAttempt], None]
    ) -> None:
        self._executor = executor
        self._policies = policies
        self._record = record
        # By key and repeat: trainings of a network with several seeds run side by side.
        self._failures: dict[tuple[str, int], tuple[Failure, ...]] = {}
        self._last_kind: FailureKind | None = None
        self._in_a_row = 0

    @property
    def capacity(self) -> int:
        """Number of evaluations that run at once."""
        return self._executor.capacity

    def submit(self, candidate: Candidate) -> None:
        """Submit a candidate for evaluation, without waiting for it."""
        self._executor.submit(candidate)

    def collect(self) -> Evaluation:
        """Wait for the next candidate with a final outcome, and return its evaluation.

        Raises:
            SearchError: a policy stops the search, or workers cannot be started any more.
            UserError: a policy stops the search because an image cannot be read, or because of an
                exception in a plug-in.
        """
        while True:
            evaluation = self._executor.collect()
            failure, name = evaluation.outcome, (evaluation.key, evaluation.candidate.repeat)
            earlier = self._failures.pop(name, ())
            if isinstance(failure, Failure) and self._may_retry(failure, earlier):
                self._retry(evaluation.candidate, (*earlier, failure))
                continue
            final = replace(evaluation, earlier=earlier)
            if isinstance(failure, Failure):
                self._count(failure)
                self._stop_by_policy(final, failure)
            else:
                self._last_kind = None
            return final

    def _may_retry(self, failure: Failure, earlier: tuple[Failure, ...]) -> bool:
        same_kind = sum(before.kind is failure.kind for before in earlier)
        return same_kind < self._policies.of(failure.kind).retries

    def _retry(self, candidate: Candidate, failures: tuple[Failure, ...]) -> None:
        self._record(
            FailedAttempt(
                candidate.number, candidate.key, len(failures), failures[-1], AttemptOutcome.RETRIED
            )
        )
        self._failures[candidate.key, candidate.repeat] = failures
        self._executor.submit(candidate, avoid={failure.place for failure in failures})

    def _count(self, failure: Failure) -> None:
        self._in_a_row = self._in_a_row + 1 if failure.kind is self._last_kind else 1
        self._last_kind = failure.kind

    def _stop_by_policy(self, evaluation: Evaluation, failure: Failure) -> None:
        policy, candidate = self._policies.of(failure.kind), evaluation.candidate
        if policy.then is not Then.stop and self._in_a_row != policy.in_a_row:
            return
        self._record(
            FailedAttempt(
                candidate.number,
                candidate.key,
                evaluation.attempts,
                failure,
                AttemptOutcome.STOPPED,
            )
        )
        who = (
            f"candidate {candidate.number}"
            if policy.then is Then.stop
            else f"{self._in_a_row} candidates in a row"
        )
        attempt = f", at attempt {evaluation.attempts}" if evaluation.earlier else ""
        what = f"{who} failed{attempt} ({failure.kind.value}): {failure.message}"
        if failure.kind is FailureKind.BAD_DATA:
            raise UserError(
                f"{what}. Finished evaluations are stored: fix the images, then run the same"
                " command"
            )
        if failure.message.startswith(EXPLAINED):
            raise UserError(f"{what}. The traceback is stored with the search: see failures.csv")
        raise SearchError(f"{what}\n{failure.traceback}".rstrip())
