"""Which candidates continue their training after a rung: successive halving for several objectives.

Successive halving (Karnin et al., 2013; Jamieson and Talwalkar, 2016) trains all candidates a
little, continues with the better ones, and trains the best of these to the end. Candidates are
ordered as in NSGA-II: by rank under constrained domination, then by crowding distance.

The score of a lower rung is a lower bound of what the candidate would reach with more training.
Stopped candidates are therefore judged pessimistically beside those that were trained longer, in
the population as well as on the front, and cannot displace the latter by a score that is too high.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem


def survivors(evaluations: Sequence[Evaluation], count: int, problem: Problem) -> list[Evaluation]:
    """Return the ``count`` best of scored evaluations, in the order in which they are given."""
    best = {evaluation.key for evaluation in problem.ranked(evaluations)[:count]}
    return [evaluation for evaluation in evaluations if evaluation.key in best]


def goes_on(
    evaluation: Evaluation,
    seen: Sequence[Evaluation],
    share: float,
    problem: Problem,
) -> bool:
    """Return whether a candidate is among the best of those that the rung has seen so far.

    This is the stopping rule of asynchronous halving (ASHA; Li et al., 2020): no candidate waits
    for others, so early ones go on more easily than later ones.

    Args:
        evaluation: the candidate with its score at the rung.
        seen: all candidates with their scores at the rung, this one included.
        share: share of them that goes on, rounded up.
        problem: of the search.
    """
    best = problem.ranked(seen)[: math.ceil(share * len(seen))]
    return any(other.key == evaluation.key for other in best)
