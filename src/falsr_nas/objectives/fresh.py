"""Fresh scores of the front: the mean of new trainings in place of the score that was selected.

The best of many noisy scores are too good on average, because luck is selected, too (the winner's
curse). So the members of the front are trained again with fresh seeds, and the mean of these scores
alone, without the one that brought them there, takes its place in reports and in the selection for
full training. What the controller was told is not changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.archive.store import Store
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.front import pareto_front
from falsr_nas.objectives.objective import PAPER_OBJECTIVES, Objectives

FreshScores = Mapping[str, Mapping[int, Score | None]]
"""Fresh scores by key of the candidate and repeat; None for trainings that failed."""


def reported_evaluations(
    store: Store, min_psnr: float | None, objectives: Objectives = PAPER_OBJECTIVES
) -> list[Evaluation]:
    """Return the evaluations of a search, those of the front with the means of fresh scores."""
    evaluations, fresh = store.evaluations(), store.fresh_scores()
    return with_fresh_scores(evaluations, fresh, 0, min_psnr, objectives)[0]


def with_fresh_scores(
    evaluations: Sequence[Evaluation],
    fresh: FreshScores,
    count: int = 0,
    min_psnr: float | None = None,
    objectives: Objectives = PAPER_OBJECTIVES,
) -> tuple[list[Evaluation], list[Evaluation]]:
    """Give the members of the front the means of their fresh scores.

    This may change the front; its new members then get their means as well, until no member is
    left. The result depends on the evaluations and the fresh scores of these members alone: scores
    of networks that were on the front of a shorter search are not used.

    Args:
        evaluations: evaluations of the search.
        fresh: fresh scores.
        count: number of fresh scores that a member of the front needs.
        min_psnr: minimum PSNR in dB of networks on the front.
        objectives: of the search.

    Returns:
        The evaluations, and those members of the front that have too few fresh scores. Members with
        none, or only failed ones, keep their score.
    """
    current = {one.key: one for one in evaluations}
    seen: set[str] = set()
    while True:
        front = pareto_front(current.values(), min_psnr, objectives)
        new = [one for one in front if one.key not in seen]
        missing = [one for one in new if len(fresh.get(one.key, {})) < count]
        if not new or missing:
            return list(current.values()), missing
        for one in new:
            seen.add(one.key)
            scores = [s for s in fresh.get(one.key, {}).values() if s is not None]
            if scores:
                current[one.key] = replace(one, outcome=mean_score(scores))


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of scores: mean PSNR in dB, the MSE that belongs to it, and mean seconds."""
    psnr = fmean(score.psnr for score in scores)
    return Score(
        mse_from_psnr(psnr),
        psnr,
        fmean(score.seconds for score in scores),
        scores[0].steps,
        len(scores),
        stdev(score.psnr for score in scores) if len(scores) > 1 else None,
    )
