"""Selection of networks of a search for full training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.front import pareto_front, scored
from falsr_nas.objectives.objective import PAPER_OBJECTIVES, Objective, Objectives

WAYS = ("crowding", "knee", "psnr", "key=KEY")
"""Ways to select that every search has."""


def select(
    evaluations: Sequence[Evaluation],
    way: str,
    count: int,
    min_psnr: float | None = None,
    objectives: Objectives = PAPER_OBJECTIVES,
) -> list[Evaluation]:
    """Select networks, sorted by ascending cost.

    The cost is the first objective of the search beside PSNR: mult-adds by default.

    Ways:
        - ``crowding``: networks with the largest crowding distance on the front in MSE and cost,
          its two ends first (paper, VI-A: four networks).
        - ``knee``: networks of that front that are furthest above the line between its ends.
        - ``psnr``: networks with the highest PSNR.
        - another objective of the search, e.g. ``latency``: networks of its front that are best in
          it.
        - ``key=KEY``: the network whose key begins with KEY, also if it is infeasible or not on the
          front.

    Distances are measured in PSNR and log cost, each scaled to the range of the front.

    Args:
        evaluations: evaluations of the search.
        way: one of the ways above.
        count: maximum number of networks.
        min_psnr: minimum PSNR of the search in dB; networks below it are infeasible.
        objectives: of the search.

    Raises:
        UserError: the way is unknown, no network or several networks have the key, or no network is
            feasible.
    """
    candidates = scored(evaluations)
    if not candidates:
        raise UserError("the search has no scored network to select from")
    name, _, key = way.partition("=")
    if name == "key" and key:
        return [_by_key(candidates, key)]
    costs = {one.name: one for one in objectives.costs}
    if way not in (*WAYS[:3], *costs):
        raise UserError(f"select is {way!r}: choose one of {', '.join((*WAYS, *costs))}")
    feasible = scored(candidates, min_psnr)
    if not feasible:
        raise UserError(
            f"no network of the search reaches its constraints.min_psnr of {min_psnr:g} dB:"
            " select=key=KEY trains an infeasible network"
        )
    if way == "psnr":
        chosen = sorted(feasible, key=lambda one: (-_psnr(one), one.key))[:count]
    elif way in costs:
        chosen = best_in(costs[way], pareto_front(feasible, objectives=objectives))[:count]
    else:
        front = quality_front(feasible, objectives)
        rank = crowding_distances if way == "crowding" else knee_heights
        ranking = rank(front, objectives)
        ranked = sorted(range(len(front)), key=lambda i: (-ranking[i], i))
        chosen = [front[i] for i in ranked[:count]]
    return sorted(chosen, key=objectives.place)


def best_in(objective: Objective, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return evaluations sorted by an objective of their genomes, the best first, then by key."""

    def place(one: Evaluation) -> float:
        return objective.minimised(objective.measure(one.candidate.genome, one.candidate.cost))

    return sorted(evaluations, key=lambda one: (place(one), one.key))


def quality_front(
    evaluations: Sequence[Evaluation], objectives: Objectives = PAPER_OBJECTIVES
) -> list[Evaluation]:
    """Return the front in MSE and cost alone (paper, Figure 5), by ascending cost."""
    front: list[Evaluation] = []
    whole = pareto_front(evaluations, objectives=objectives)
    for one in sorted(whole, key=lambda one: (objectives.place(one), -_psnr(one))):
        if not front or _psnr(one) > _psnr(front[-1]):
            front.append(one)
    return front


def crowding_distances(
    front: Sequence[Evaluation], objectives: Objectives = PAPER_OBJECTIVES
) -> list[float]:
    """Return the crowding distances of a front by ascending cost (Deb et al., 2002).

    The distance is half the perimeter of the box between a network's neighbours; infinite at both
    ends of the front.
    """
    x = _unit([objectives.coordinate(one) for one in front])
    y = _unit([_psnr(one) for one in front])
    inner = [x[i + 1] - x[i - 1] + y[i + 1] - y[i - 1] for i in range(1, len(front) - 1)]
    return [math.inf, *inner, math.inf][: max(len(front), 1)]


def knee_heights(
    front: Sequence[Evaluation], objectives: Objectives = PAPER_OBJECTIVES
) -> list[float]:
    """Return the heights of a front's networks above the line from its cheapest to its best one."""
    x = _unit([objectives.coordinate(one) for one in front])
    y = _unit([_psnr(one) for one in front])
    return [quality - cost for cost, quality in zip(x, y, strict=True)]


def _by_key(evaluations: Sequence[Evaluation], key: str) -> Evaluation:
    found = [one for one in evaluations if one.key.startswith(key)]
    if not found:
        raise UserError(f"select=key={key}: no network of the search has a key that begins with it")
    if len(found) > 1:
        raise UserError(f"select=key={key}: {len(found)} networks match; give more of the key")
    return found[0]


def _unit(values: list[float]) -> list[float]:
    low, span = min(values), max(values) - min(values)
    return [(value - low) / span if span else 0.0 for value in values]


def _psnr(evaluation: Evaluation) -> float:
    assert evaluation.score is not None, "select() leaves out failed evaluations"
    return evaluation.score.psnr
