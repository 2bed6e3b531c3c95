"""Problems and an objective that are made up for tests."""

from __future__ import annotations

from typing import Any

from falsr_nas.objectives.objective import Objective
from falsr_nas.objectives.problem import Problem

LINKS = Objective(
    "links",
    "links",
    "number of links",
    "",
    lambda genome, _: sum(map(len, genome.links)),
    maximised=True,
    logarithmic=False,
    digits=0,
)
"""A cost that is maximised and linear, of which many networks have the same number."""


def bounded_problem(best: tuple[float, ...], worst: tuple[float, ...], **fields: Any) -> Problem:
    """Return a problem whose hypervolume has these ends, e.g. to compute it by hand.

    Args:
        best: the number of each objective at the best end, PSNR in dB first.
        worst: the same at the worst end.
        fields: other fields of the problem.
    """
    problem = Problem(psnr_range=(worst[0], best[0]), **fields)
    problem.__dict__.update(best=best, worst=worst)  # where cached properties are looked up first
    return problem
