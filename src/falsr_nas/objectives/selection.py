"""Selection of networks of a search for full training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.objectives.ranking import FloatArray, crowding_distances

WAYS = ("crowding", "knee", "psnr", "spread", "key=KEY")
"""Ways to select that every search has."""


def select(
    evaluations: Sequence[Evaluation], way: str, count: int, problem: Problem
) -> list[Evaluation]:
    """Select networks, sorted by ascending cost.

    The cost is the first objective of the search beside PSNR: mult-adds by default.

    Ways:
        - ``crowding``: networks with the largest crowding distance on the front in MSE and cost,
          its two ends first (paper, VI-A: four networks).
        - ``knee``: networks of that front that are furthest above the line between its ends.
        - ``psnr``: networks with the highest PSNR.
        - ``spread``: the network of the highest PSNR in each of ``count`` intervals of the cost,
          of equal length on a log scale; an interval may have none.
        - another objective of the search, e.g. ``latency``: networks of its front that are best in
          it.
        - ``key=KEY``: the network whose key begins with KEY, also if it is infeasible or not on the
          front.

    Distances are measured in PSNR and log cost, each scaled to the range of the front.

    Args:
        evaluations: evaluations of the search.
        way: one of the ways above.
        count: maximum number of networks.
        problem: of the search.

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
    costs = {cost.name: cost for cost in problem.costs}
    if way not in (*WAYS[:4], *costs):
        raise UserError(f"select is {way!r}: choose one of {', '.join((*WAYS, *costs))}")
    feasible = problem.feasible(candidates)
    if not feasible:
        raise UserError(
            "no network of the search reaches its constraints.min_psnr of"
            f" {problem.constraints.min_psnr:g} dB: select=key=KEY trains an infeasible network"
        )
    if way == "psnr":
        chosen = sorted(feasible, key=lambda network: (-_psnr(network), network.key))[:count]
    elif way == "spread":
        places = np.array([problem.coordinate(network) for network in feasible])
        inner = np.linspace(places.min(), places.max(), count + 1)[1:-1]
        best: dict[int, Evaluation] = {}
        for network, interval in zip(feasible, np.digitize(places, inner).tolist(), strict=True):
            rival = best.get(interval)
            if rival is None or (-_psnr(network), network.key) < (-_psnr(rival), rival.key):
                best[interval] = network
        chosen = list(best.values())
    elif way in costs:
        chosen = problem.by_cost(problem.front(feasible), costs[way])[:count]
    else:
        front = quality_front(feasible, problem)
        points = np.array([[-_psnr(network), problem.coordinate(network)] for network in front])
        height = crowding_distances(points) if way == "crowding" else knee_heights(points)
        order = sorted(range(len(front)), key=lambda i: (-height[i], i))
        chosen = [front[i] for i in order[:count]]
    return problem.by_cost(chosen)


def quality_front(evaluations: Sequence[Evaluation], problem: Problem) -> list[Evaluation]:
    """Return the front in MSE and the first cost alone (paper, Figure 5), by ascending cost."""
    front: list[Evaluation] = []
    whole = problem.front(evaluations)
    for network in sorted(whole, key=lambda member: (problem.place(member), -_psnr(member))):
        if not front or _psnr(network) > _psnr(front[-1]):
            front.append(network)
    return front


def knee_heights(points: FloatArray) -> FloatArray:
    """Return how far points are above the line between the ends of their front: (N,).

    Args:
        points: (N, 2), negative PSNR and cost; both are scaled to the range of the front.
    """
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    unit = (points - low) / np.where(span > 0, span, 1.0)
    return np.asarray(1 - unit[:, 0] - unit[:, 1])


def _by_key(evaluations: Sequence[Evaluation], key: str) -> Evaluation:
    found = [evaluation for evaluation in evaluations if evaluation.key.startswith(key)]
    if not found:
        raise UserError(f"select=key={key}: no network of the search has a key that begins with it")
    if len(found) > 1:
        raise UserError(f"select=key={key}: {len(found)} networks match; give more of the key")
    return found[0]


def _psnr(evaluation: Evaluation) -> float:
    assert evaluation.score is not None, "select() leaves out failed evaluations"
    return evaluation.score.psnr
