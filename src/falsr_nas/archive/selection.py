"""Which networks of a search are worth a full training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.objectives import pareto_front
from falsr_nas.errors import UserError

WAYS = ("crowding", "knee", "psnr", "key=KEY")


def select(evaluations: Sequence[Evaluation], way: str, count: int) -> list[Evaluation]:
    """The chosen networks, by ascending mult-adds.

    Ways:
        - ``crowding``: those of the largest crowding distance on the MSE/mult-adds front (paper, VI-A: four); its two ends come first.
        - ``knee``: those of that front that lie furthest below the line between its ends.
        - ``psnr``: those of the highest PSNR.
        - ``key=KEY``: the one whose key begins so, on the front or not.

    Distances are taken on log MSE (which is PSNR) and log mult-adds, each scaled to the front's span.

    Raises:
        UserError: for another way, a key that fits no network or several, or a search without scores.
    """
    able = [evaluation for evaluation in evaluations if evaluation.score is not None]
    if not able:
        raise UserError("the search has no scored network to choose from")
    name, _, key = way.partition("=")
    if name == "key" and key:
        return [_by_key(able, key)]
    if way == "psnr":
        chosen = sorted(able, key=lambda one: (-_psnr(one), one.key))[:count]
    elif way in ("crowding", "knee"):
        front = quality_front(able)
        worth = crowding_distances(front) if way == "crowding" else knee_depths(front)
        ranked = sorted(range(len(front)), key=lambda i: (-worth[i], i))
        chosen = [front[i] for i in ranked[:count]]
    else:
        raise UserError(f"select is {way!r}: choose one of {', '.join(WAYS)}")
    return sorted(chosen, key=_mult_adds)


def quality_front(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The front in MSE and mult-adds alone (paper, Figure 5), by ascending mult-adds: each next network is better and costs more."""
    front: list[Evaluation] = []
    for one in sorted(pareto_front(evaluations), key=lambda one: (_mult_adds(one), -_psnr(one))):
        if not front or _psnr(one) > _psnr(front[-1]):
            front.append(one)
    return front


def crowding_distances(front: Sequence[Evaluation]) -> list[float]:
    """Of a front by ascending mult-adds: the sides of the box between a network's neighbours, summed; infinite at the ends (Deb, 2002)."""
    x = _unit([math.log(_mult_adds(one)) for one in front])
    y = _unit([_psnr(one) for one in front])
    inner = [x[i + 1] - x[i - 1] + y[i + 1] - y[i - 1] for i in range(1, len(front) - 1)]
    return [math.inf, *inner, math.inf][: max(len(front), 1)]


def knee_depths(front: Sequence[Evaluation]) -> list[float]:
    """Of a front by ascending mult-adds: how far each network is above the line from the cheapest to the best, 0 at both."""
    x = _unit([math.log(_mult_adds(one)) for one in front])
    y = _unit([_psnr(one) for one in front])
    return [quality - cost for cost, quality in zip(x, y, strict=True)]


def _by_key(evaluations: Sequence[Evaluation], key: str) -> Evaluation:
    found = [one for one in evaluations if one.key.startswith(key)]
    if len(found) != 1:
        raise UserError(
            f"select=key={key}: {len(found) or 'no'} network{'s have' if len(found) > 1 else ' has'} a key that begins so"
        )
    return found[0]


def _unit(values: list[float]) -> list[float]:
    low, span = min(values), max(values) - min(values)
    return [(value - low) / span if span else 0.0 for value in values]


def _psnr(evaluation: Evaluation) -> float:
    assert evaluation.score is not None, "only scored networks are chosen"
    return evaluation.score.psnr


def _mult_adds(evaluation: Evaluation) -> int:
    return evaluation.candidate.cost.mult_adds
