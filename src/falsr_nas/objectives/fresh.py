"""Fresh scores of the front: the mean of new trainings in place of the score that was selected.

The best of many noisy scores are too good on average, because luck is selected, too (the winner's
curse). The members of the front are therefore trained again with fresh seeds. In reports and in the
selection for full training, the mean of these scores replaces the score by which they were
selected. What the controller was told does not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.archive.store import Store
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.problem import Problem

FreshScores = Mapping[str, Mapping[int, Score | None]]
"""Fresh scores by key of the candidate and repeat; None for trainings that failed."""


def reported_evaluations(store: Store, problem: Problem) -> list[Evaluation]:
    """Return the evaluations of a search, those of the front with the means of fresh scores."""
    return with_fresh_scores(store.evaluations(), store.fresh_scores(), problem)[0]


def with_fresh_scores(
    evaluations: Sequence[Evaluation], fresh: FreshScores, problem: Problem, count: int = 0
) -> tuple[list[Evaluation], list[Evaluation]]:
    """Give the members of the front the means of their fresh scores.

    This may change the front; its new members then get their means as well, until no member is
    left. The result depends on the evaluations and the fresh scores of these members alone: scores
    of networks that were on the front of a shorter search are not used.

    Args:
        evaluations: evaluations of the search.
        fresh: fresh scores.
        problem: of the search.
        count: number of fresh scores that a member of the front needs.

    Returns:
        The evaluations, and those members of the front that have too few fresh scores. Members with
        none, or only failed ones, keep their score.
    """
    current = {evaluation.key: evaluation for evaluation in evaluations}
    seen: set[str] = set()
    while True:
        new = [member for member in problem.front(current.values()) if member.key not in seen]
        missing = [member for member in new if len(fresh.get(member.key, {})) < count]
        if not new or missing:
            return list(current.values()), missing
        for member in new:
            seen.add(member.key)
            scores = [s for s in fresh.get(member.key, {}).values() if s is not None]
            if scores:
                current[member.key] = replace(member, outcome=mean_score(scores))


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of scores: mean PSNR in dB, the MSE that belongs to it, and other means."""
    psnr = fmean(score.psnr for score in scores)
    timed = [score for score in scores if score.latency is not None]
    return Score(
        mse_from_psnr(psnr),
        psnr,
        fmean(score.seconds for score in scores),
        scores[0].steps,
        len(scores),
        stdev(score.psnr for score in scores) if len(scores) > 1 else None,
        *(
            fmean(getattr(score, name) or 0 for score in timed) if timed else None
            for name in ("latency", "latency_spread")
        ),
    )
