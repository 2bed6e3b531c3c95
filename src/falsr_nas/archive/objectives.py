"""Objectives of a search (MSE, mult-adds, parameters), the Pareto front and its hypervolume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation, Failure, Score
from falsr_nas.data.levels import PEAK
from falsr_nas.space.cost import Cost, genome_cost, input_pixels
from falsr_nas.space.enumeration import heaviest, lightest
from falsr_nas.space.search_space import SearchSpace

FloatArray = NDArray[np.float64]

WIDE_PSNR_RANGE = (20.0, 50.0)
"""PSNR in dB of a scale where nothing better is known, and of searches of earlier versions."""

REFERENCE = (1.0, 1.0, 1.0)
"""Reference point of every hypervolume: the worst corner of :class:`ObjectiveScale`'s unit cube."""


@dataclass(frozen=True, slots=True)
class ObjectiveScale:
    """Bounds that map objectives to the unit cube (0 best, 1 worst), to compare searches.

    Quality is linear in PSNR. Costs are on a log scale: the networks of a space span two orders of
    magnitude, and the paper's roulette (IV-E1) takes logarithms for the same reason. Values outside
    the bounds are clipped.

    Attributes:
        lightest: fewest parameters and fewest mult-adds of a network.
        heaviest: most parameters and most mult-adds of a network.
        psnr: PSNR in dB at the worst and at the best end; see ``psnr_range`` of a search.

    Raises:
        ValueError: a lower bound is not positive, or above its upper bound.
    """

    lightest: Cost
    heaviest: Cost
    psnr: tuple[float, float] = WIDE_PSNR_RANGE

    def __post_init__(self) -> None:
        if (
            not 0 < self.lightest.params <= self.heaviest.params
            or not 0 < self.lightest.mult_adds <= self.heaviest.mult_adds
        ):
            raise ValueError(
                f"the lightest network, {self.lightest}, must have positive costs, at most those"
                f" of the heaviest, {self.heaviest}"
            )
        if not self.psnr[0] < self.psnr[1]:
            raise ValueError(f"PSNR bounds {self.psnr} must ascend")

    @classmethod
    def of_space(
        cls,
        space: SearchSpace,
        max_mult_adds: float | None = None,
        psnr: tuple[float, float] = WIDE_PSNR_RANGE,
    ) -> ObjectiveScale:
        """Return the scale from the lightest to the heaviest network that a search may propose.

        Args:
            space: the search space.
            max_mult_adds: maximum mult-adds in G, or None for no limit.
            psnr: PSNR in dB at the worst and at the best end.
        """
        least, most = genome_cost(lightest(space)), genome_cost(heaviest(space))
        if max_mult_adds is not None:
            # A weight is used at least once per low-resolution pixel, so that a limit on mult-adds
            # is one on weights. (Biases are not counted: a few percent, clipped by ``unit``.)
            limit = max_mult_adds * 1e9
            most = Cost(
                int(max(least.params, min(most.params, limit / input_pixels(space.scale)))),
                int(max(least.mult_adds, min(most.mult_adds, limit))),
            )
        return cls(least, most, psnr)

    def unit(self, objectives: FloatArray) -> FloatArray:
        """Map objectives (N, 3) of :func:`objective_matrix` to [0, 1]^3; all stay minimised."""
        low = np.log10([self.lightest.mult_adds, self.lightest.params])
        high = np.log10([self.heaviest.mult_adds, self.heaviest.params])
        psnr = 10 * np.log10(PEAK**2 / objectives[:, 0])
        quality = (self.psnr[1] - psnr) / (self.psnr[1] - self.psnr[0])
        # If all networks of the space have the same cost, they are all at the best end, 0.
        costs = (np.log10(objectives[:, 1:]) - low) / np.maximum(high - low, np.finfo(float).tiny)
        unit: FloatArray = np.clip(np.column_stack([quality, costs]), 0.0, 1.0)
        return unit


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """Summary of a search after a generation.

    Attributes:
        generation: the last generation with evaluations, counted from 0; -1 if there are none.
        candidates: number of evaluations, including failures.
        failures: number of evaluations without a score.
        best_psnr: highest PSNR in dB, or None if there is no score.
        hypervolume: hypervolume of the front, in 0..1.
        front_size: number of networks on the front.
        failures_by_kind: number of failures of each kind that occurred.
        retries: number of attempts beyond the first, over all evaluations.
    """

    generation: int
    candidates: int
    failures: int
    best_psnr: float | None
    hypervolume: float
    front_size: int
    failures_by_kind: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0


def objective_matrix(evaluations: Sequence[Evaluation]) -> FloatArray:
    """Return the minimised objectives (N, 3) of evaluations: MSE, mult-adds, parameters.

    Raises:
        ValueError: an evaluation failed.
    """
    rows = [_objectives(evaluation) for evaluation in evaluations]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def pareto_front(
    evaluations: Iterable[Evaluation], min_psnr: float | None = None
) -> list[Evaluation]:
    """Return the Pareto front in MSE, mult-adds and parameters (the paper's objectives, II).

    Failures, and scores below ``min_psnr`` (dB), are left out. Of several networks with equal
    objectives, the front contains the one with the smallest key, so that it does not depend on the
    order of evaluation.

    Returns:
        The front by ascending mult-adds, then key.
    """
    import moocore  # not at the top: --help does not need it

    feasible = scored(evaluations, min_psnr)
    matrix = objective_matrix(feasible)
    nondominated = np.flatnonzero(moocore.is_nondominated(matrix, keep_weakly=True))
    front: dict[bytes, Evaluation] = {}
    for row in nondominated:
        objectives, evaluation = matrix[row].tobytes(), feasible[row]
        if objectives not in front or evaluation.key < front[objectives].key:
            front[objectives] = evaluation
    return sorted(
        front.values(),
        key=lambda evaluation: (evaluation.candidate.cost.mult_adds, evaluation.key),
    )


def hypervolume(evaluations: Iterable[Evaluation], scale: ObjectiveScale) -> float:
    """Return the hypervolume in 0..1: the share of ``scale``'s unit cube that is dominated."""
    import moocore

    points = scale.unit(objective_matrix(scored(evaluations)))
    return float(moocore.hypervolume(points, ref=REFERENCE)) if len(points) else 0.0


def scored(evaluations: Iterable[Evaluation], min_psnr: float | None = None) -> list[Evaluation]:
    """Return the evaluations that have a score, of at least ``min_psnr`` dB if given, in order."""
    return [
        e
        for e in evaluations
        if isinstance(e.outcome, Score) and (min_psnr is None or e.outcome.psnr >= min_psnr)
    ]


def summarise(
    evaluations: Sequence[Evaluation], scale: ObjectiveScale, min_psnr: float | None = None
) -> SearchSummary:
    """Summarise evaluations of a search; networks below ``min_psnr`` dB are not on the front."""
    front = pareto_front(evaluations, min_psnr)
    scores = [e.outcome for e in evaluations if isinstance(e.outcome, Score)]
    return SearchSummary(
        generation=max((e.candidate.generation for e in evaluations), default=-1),
        candidates=len(evaluations),
        failures=len(evaluations) - len(scores),
        best_psnr=max((score.psnr for score in scores), default=None),
        hypervolume=hypervolume(front, scale),
        front_size=len(front),
        failures_by_kind=dict(
            Counter(e.outcome.kind.value for e in evaluations if isinstance(e.outcome, Failure))
        ),
        retries=sum(len(e.earlier) for e in evaluations),
    )


def _objectives(evaluation: Evaluation) -> tuple[float, int, int]:
    if not isinstance(evaluation.outcome, Score):
        raise ValueError(f"candidate {evaluation.key} failed and has no objectives")
    cost = evaluation.candidate.cost
    return evaluation.outcome.mse, cost.mult_adds, cost.params
