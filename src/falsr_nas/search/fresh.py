"""Fresh scores: after a search, the members of its front are trained again with other seeds.

What they are for is in :mod:`falsr_nas.objectives.fresh`.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from falsr_nas.archive.candidate import (
    AttemptOutcome,
    Candidate,
    FailedAttempt,
    Failure,
)
from falsr_nas.archive.store import Store
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.objectives.fresh import with_fresh_scores
from falsr_nas.objectives.problem import Problem

_log = logging.getLogger(__name__)


def score_front_again(
    executor: RetryingExecutor, store: Store, problem: Problem, count: int
) -> None:
    """Score the members of the front with fresh seeds, until no member lacks such scores.

    Scores that are stored already are not evaluated again.

    Args:
        executor: runs the trainings.
        store: holds the evaluations of the search, and gets the scores.
        problem: of the search.
        count: number of scores that each member needs; 0 for none.

    Raises:
        SearchError: the policies stop the search, or workers cannot be started any more.
        UserError: for a mistake that the user can correct.
    """
    while True:
        stored = store.fresh_scores()
        _, missing = with_fresh_scores(store.evaluations(), stored, problem, count)
        if not missing:
            return
        _log.info("scoring %d networks of the front again", len(missing))
        trainings = [
            replace(member.candidate, repeat=repeat)
            for member in missing
            for repeat in range(1, count + 1)
            if repeat not in stored.get(member.key, ())
        ]
        _run(executor, store, trainings)


def _run(executor: RetryingExecutor, store: Store, trainings: list[Candidate]) -> None:
    for training in trainings:
        executor.submit(training)
    for _ in trainings:
        ended = executor.collect()
        store.add_score(ended)
        if isinstance(ended.outcome, Failure):
            number, last = ended.candidate.number, AttemptOutcome.INFEASIBLE
            store.add_failure(FailedAttempt(number, ended.key, ended.attempts, ended.outcome, last))
