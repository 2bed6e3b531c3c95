"""What happens to candidates that fail: tried again elsewhere, given up, or the search stops. One place for all executors."""

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
from falsr_nas.errors import SearchError, UserError
from falsr_nas.execution.executor import Executor
from falsr_nas.execution.settings import FailurePolicies, Then


class Retrying:
    """An executor's candidates, with the policies applied to those that fail.

    An evaluation depends on the search's seed and the genome only, so a candidate that succeeds at
    a later attempt has the score that it would have had at the first.

    Args:
        executor: runs the attempts; entered and left by whoever made it.
        policies: for each kind of failure.
        record: gets each failed attempt that is no outcome: those retried, and the one that stops
            the search.
    """

    def __init__(
        self, executor: Executor, policies: FailurePolicies, record: Callable[[FailedAttempt], None]
    ) -> None:
        self._executor = executor
        self._policies = policies
        self._record = record
        self._failed: dict[str, tuple[Failure, ...]] = {}
        self._last: FailureKind | None = None
        self._in_a_row = 0

    @property
    def capacity(self) -> int:
        """How many evaluations run at once."""
        return self._executor.capacity

    def submit(self, candidate: Candidate) -> None:
        """Take on a candidate; returns at once."""
        self._executor.submit(candidate)

    def collect(self) -> Evaluation:
        """The next evaluation to end for good; waits for it.

        Raises:
            SearchError: by policy the search stops; UserError where it is the images that must be
                mended.
        """
        while True:
            evaluation = self._executor.collect()
            failure, earlier = evaluation.outcome, self._failed.pop(evaluation.key, ())
            if isinstance(failure, Failure) and self._may_retry(failure, earlier):
                self._retry(evaluation.candidate, (*earlier, failure))
                continue
            ended = replace(evaluation, earlier=earlier)
            if isinstance(failure, Failure):
                self._count(failure)
                self._stop_by_policy(ended, failure)
            else:
                self._last = None
            return ended

    def _may_retry(self, failure: Failure, earlier: tuple[Failure, ...]) -> bool:
        return (
            sum(before.kind is failure.kind for before in earlier)
            < self._policies.of(failure.kind).retries
        )

    def _retry(self, candidate: Candidate, failures: tuple[Failure, ...]) -> None:
        self._record(
            FailedAttempt(
                candidate.number, candidate.key, len(failures), failures[-1], AttemptOutcome.RETRIED
            )
        )
        self._failed[candidate.key] = failures
        self._executor.submit(candidate, avoid={failure.place for failure in failures})

    def _count(self, failure: Failure) -> None:
        self._in_a_row = self._in_a_row + 1 if failure.kind is self._last else 1
        self._last = failure.kind

    def _stop_by_policy(self, ended: Evaluation, failure: Failure) -> None:
        policy, candidate = self._policies.of(failure.kind), ended.candidate
        if policy.then is not Then.stop and self._in_a_row != policy.in_a_row:
            return
        self._record(
            FailedAttempt(
                candidate.number, candidate.key, ended.attempts, failure, AttemptOutcome.STOPPED
            )
        )
        who = (
            f"candidate {candidate.number}"
            if policy.then is Then.stop
            else f"{self._in_a_row} candidates in a row"
        )
        times = f", at attempt {ended.attempts}" if ended.earlier else ""
        what = f"{who} failed{times} ({failure.kind.value}): {failure.message}"
        if failure.kind is FailureKind.BAD_DATA:
            raise UserError(
                f"{what}. What was finished is stored: mend the images, then run the same command"
            )
        raise SearchError(f"{what}\n{failure.traceback}".rstrip())
