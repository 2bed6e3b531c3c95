"""Networks compared by the objectives of a search: the Pareto front and its hypervolume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation, Failure, Score
from falsr_nas.core.errors import UserError
from falsr_nas.data.levels import PEAK
from falsr_nas.objectives.objective import (
    MULT_ADDS,
    PAPER_OBJECTIVES,
    PARAMS,
    Objective,
    Objectives,
)
from falsr_nas.space.cost import Cost, genome_cost, input_pixels
from falsr_nas.space.enumeration import heaviest, lightest
from falsr_nas.space.search_space import SearchSpace

FloatArray = NDArray[np.float64]

WIDE_PSNR_RANGE = (20.0, 50.0)
"""PSNR in dB of a scale where nothing better is known, and of searches of earlier versions."""

PROBES = 256
"""Random networks by which the range of an objective over a space is estimated; our choice."""


@dataclass(frozen=True, slots=True)
class ObjectiveScale:
    """Bounds that map objectives to the unit cube (0 best, 1 worst), to compare searches.

    Quality is linear in PSNR. Costs are on a log scale: the networks of a space span two orders of
    magnitude, and the paper's roulette (IV-E1) takes logarithms for the same reason. Values outside
    the bounds are clipped.

    Attributes:
        objectives: of the search.
        best: the number of each objective at its best end; the first is PSNR in dB.
        worst: the same at the worst end; of PSNR see ``psnr_range`` of a search.

    Raises:
        ValueError: a best number is worse than the worst one, or not positive on a log scale.
    """

    objectives: Objectives
    best: tuple[float, ...]
    worst: tuple[float, ...]

    def __post_init__(self) -> None:
        chosen = self.objectives.chosen
        for one, best, worst in zip(chosen, self.best, self.worst, strict=True):
            if one.logarithmic and not min(best, worst) > 0:
                raise ValueError(f"{one.name}: {best} and {worst} must be positive")
            if one.minimised(best) > one.minimised(worst):
                raise ValueError(f"{one.name}: {best} is worse than {worst}")
        if self.best[0] == self.worst[0]:
            raise ValueError(f"PSNR bounds {self.worst[0], self.best[0]} must ascend")

    @classmethod
    def of_space(
        cls,
        space: SearchSpace,
        max_mult_adds: float | None = None,
        psnr: tuple[float, float] = WIDE_PSNR_RANGE,
        objectives: Objectives = PAPER_OBJECTIVES,
    ) -> ObjectiveScale:
        """Return the scale from the best to the worst network that a search may propose.

        Args:
            space: the search space.
            max_mult_adds: maximum mult-adds in G, or None for no limit.
            psnr: PSNR in dB at the worst and at the best end.
            objectives: of the search; their limits bound the scale, too.
        """
        ranges = [_range(one, space, max_mult_adds, objectives) for one in objectives.costs]
        ends = [
            (high, low) if one.maximised else (low, high)
            for one, (low, high) in zip(objectives.costs, ranges, strict=True)
        ]
        best, worst = (tuple(end[i] for end in ends) for i in (0, 1))
        return cls(objectives, (psnr[1], *best), (psnr[0], *worst))

    @property
    def reference(self) -> tuple[float, ...]:
        """Reference point of the hypervolume: the worst corner of the unit cube."""
        return (1.0,) * len(self.best)

    def unit(self, objectives: FloatArray) -> FloatArray:
        """Map (N, M) of :func:`objective_matrix` to [0, 1]^M; all stay minimised."""
        psnr = 10 * np.log10(PEAK**2 / objectives[:, 0])
        columns = [(self.best[0] - psnr) / (self.best[0] - self.worst[0])]
        for i, one in enumerate(self.objectives.costs, start=1):
            # If all networks of the space have the same cost, they are all at the best end, 0.
            best, worst = (_position(one, np.array(end[i])) for end in (self.best, self.worst))
            values = _position(one, one.minimised(objectives[:, i]))
            columns.append((values - best) / np.maximum(worst - best, np.finfo(float).tiny))
        unit: FloatArray = np.clip(np.column_stack(columns), 0.0, 1.0)
        return unit


def _position(objective: Objective, values: FloatArray) -> FloatArray:
    """Return where numbers of an objective are on a minimised axis, linear or logarithmic."""
    return objective.minimised(np.log10(values) if objective.logarithmic else values)


def _range(
    objective: Objective, space: SearchSpace, max_mult_adds: float | None, objectives: Objectives
) -> tuple[float, float]:
    """Return the least and the largest number of an objective that a search may propose."""
    if objective in (MULT_ADDS, PARAMS):
        low, high = _range_of_cost(objective, space, max_mult_adds)
    else:
        low, high = value_range(objective, space)
    low = max([low, *(floor for one, floor in objectives.least if one == objective)])
    limits = {one.name: limit for one, limit in objectives.limits}
    return low, max(low, min(high, limits.get(objective.name, high)))


def _range_of_cost(
    objective: Objective, space: SearchSpace, max_mult_adds: float | None
) -> tuple[float, float]:
    least, most = genome_cost(lightest(space)), genome_cost(heaviest(space))
    if max_mult_adds is not None:
        # A weight is used at least once per low-resolution pixel, so that a limit on mult-adds
        # is one on weights. (Biases are not counted: a few percent, clipped by ``unit``.)
        limit = max_mult_adds * 1e9
        most = Cost(
            int(max(least.params, min(most.params, limit / input_pixels(space.scale)))),
            int(max(least.mult_adds, min(most.mult_adds, limit))),
        )
    if objective == PARAMS:
        return least.params, most.params
    return least.mult_adds, most.mult_adds


def value_range(objective: Objective, space: SearchSpace) -> tuple[float, float]:
    """Return the least and the largest number of an objective over a space, nearly.

    They are those of the lightest and the heaviest network and of PROBES random ones.

    Raises:
        UserError: a number is not finite, or not positive although the objective is logarithmic.
    """
    rng = np.random.default_rng(0)
    drawn = [lightest(space), heaviest(space), *(space.sample(rng) for _ in range(PROBES))]
    values = [float(objective.measure(genome, genome_cost(genome))) for genome in drawn]
    for genome, value in zip(drawn, values, strict=True):
        if not np.isfinite(value) or (objective.logarithmic and value <= 0):
            allowed = "positive and finite" if objective.logarithmic else "finite"
            raise UserError(
                f"the objective {objective.name} must be {allowed}: {value} of {genome}"
            )
    return min(values), max(values)


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


def objective_matrix(
    evaluations: Sequence[Evaluation], objectives: Objectives = PAPER_OBJECTIVES
) -> FloatArray:
    """Return the minimised objectives (N, M) of evaluations, the MSE for PSNR.

    The M - 1 others are as :attr:`Objectives.costs`, by default mult-adds and parameters.

    Raises:
        ValueError: an evaluation failed.
    """
    rows = [_objectives(evaluation, objectives.costs) for evaluation in evaluations]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(objectives.chosen))


def pareto_front(
    evaluations: Iterable[Evaluation],
    min_psnr: float | None = None,
    objectives: Objectives = PAPER_OBJECTIVES,
) -> list[Evaluation]:
    """Return the Pareto front, by default in MSE, mult-adds and parameters (paper, II).

    Failures, and scores below ``min_psnr`` (dB), are left out. Of several networks with equal
    objectives, the front contains the one with the smallest key, so that it does not depend on the
    order of evaluation.

    Returns:
        The front by the first objective beside PSNR, the best first, then key.
    """
    import moocore  # not at the top: --help does not need it

    feasible = scored(evaluations, min_psnr)
    matrix = objective_matrix(feasible, objectives)
    nondominated = np.flatnonzero(moocore.is_nondominated(matrix, keep_weakly=True))
    front: dict[bytes, Evaluation] = {}
    for row in nondominated:
        point, evaluation = matrix[row].tobytes(), feasible[row]
        if point not in front or evaluation.key < front[point].key:
            front[point] = evaluation
    return sorted(front.values(), key=lambda one: (objectives.place(one), one.key))


def hypervolume(evaluations: Iterable[Evaluation], scale: ObjectiveScale) -> float:
    """Return the hypervolume in 0..1: the share of ``scale``'s unit cube that is dominated."""
    import moocore

    points = scale.unit(objective_matrix(scored(evaluations), scale.objectives))
    return float(moocore.hypervolume(points, ref=scale.reference)) if len(points) else 0.0


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
    front = pareto_front(evaluations, min_psnr, scale.objectives)
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


def _objectives(evaluation: Evaluation, costs: Sequence[Objective]) -> list[float]:
    if not isinstance(evaluation.outcome, Score):
        raise ValueError(f"candidate {evaluation.key} failed and has no objectives")
    candidate = evaluation.candidate
    return [
        evaluation.outcome.mse,
        *(one.minimised(one.measure(candidate.genome, candidate.cost)) for one in costs),
    ]
