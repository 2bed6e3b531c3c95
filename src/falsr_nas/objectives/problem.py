"""The problem that a search solves: its space, objectives and limits as one value (paper, II)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.archive.store import Store
from falsr_nas.data.levels import PEAK
from falsr_nas.latency.profile import LatencyPredictor, LatencyProfile, parse_profile
from falsr_nas.objectives.bounds import cost_range
from falsr_nas.objectives.objective import (
    DEFAULT_OBJECTIVES,
    LATENCY,
    MULT_ADDS,
    OBJECTIVES,
    PARAMS,
    PSNR,
    Network,
    Objective,
    check_names,
    latency_on,
)
from falsr_nas.objectives.ranking import FloatArray, IntArray, crowding_distances, ranks
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.search_space import SearchSpace

WIDE_PSNR_RANGE = (20.0, 50.0)
"""PSNR in dB between which the hypervolume is measured where nothing better is known."""


@dataclass(frozen=True)
class Problem:
    """What a search looks for: the networks of a space with the best trade-off of objectives.

    PSNR is always an objective. Controllers, loop, store, report and training take this value and
    ask it which networks are admissible and feasible, how they are ranked, and what their front is.

    Attributes:
        space: the search space.
        costs: the other objectives. The first one orders fronts.
        constraints: limits on costs and PSNR.
        psnr_range: PSNR in dB at the worst and at the best end of the hypervolume. No network is
            preferred by it.
        profile: predicts latency; needed where latency is an objective or limited.

    Raises:
        UserError: latency is an objective or limited, and there is no profile.
        ValueError: the PSNR range does not ascend.
    """

    space: SearchSpace = field(default_factory=SearchSpace)
    costs: tuple[Objective, ...] = (MULT_ADDS, PARAMS)
    constraints: Constraints = field(default_factory=Constraints)
    psnr_range: tuple[float, float] = WIDE_PSNR_RANGE
    profile: LatencyProfile | None = field(default=None, repr=False)
    _predictor: LatencyPredictor | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.profile is not None:
            object.__setattr__(self, "_predictor", LatencyPredictor(self.profile))
        costs = tuple(self._predicted(cost) for cost in self.costs)
        object.__setattr__(self, "costs", costs)
        _ = self.limits  # needs the profile, too
        if not self.psnr_range[0] < self.psnr_range[1]:
            raise ValueError(f"PSNR range {self.psnr_range} must ascend")

    @classmethod
    def of(cls, settings: Mapping[str, Any], profile: LatencyProfile | None = None) -> Problem:
        """Return the problem of a search.

        Args:
            settings: of the search by dotted names: ``space...``, ``objectives`` and
                ``constraints...``. What is missing has its default.
            profile: predicts latency; None where the search has none.

        Raises:
            UserError: there is no such objective, or one needs a profile.
        """
        names = check_names(settings.get("objectives", DEFAULT_OBJECTIVES))
        costs = tuple(OBJECTIVES[name] for name in names[1:])
        space, constraints = _group(settings, "space"), _group(settings, "constraints")
        return cls(SearchSpace(**space), costs, Constraints(**constraints), profile=profile)

    @property
    def scale(self) -> int:
        """Upscaling factor of the networks."""
        return self.space.scale

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All objectives, PSNR first."""
        return (PSNR, *self.costs)

    @property
    def first_cost(self) -> Objective:
        """What fronts are ordered by: the first cost, or mult-adds where PSNR is all."""
        return self.costs[0] if self.costs else MULT_ADDS

    @property
    def shown(self) -> tuple[Objective, ...]:
        """What tables and figures show beside PSNR.

        These are the chosen ones, then those with a limit, mult-adds and parameters.
        """
        found = (*self.costs, *(objective for objective, _ in self.limits), MULT_ADDS, PARAMS)
        return tuple({objective.name: objective for objective in found}.values())

    @property
    def added(self) -> tuple[Objective, ...]:
        """Those of :attr:`shown` that files of a search have only where they are used."""
        return tuple(cost for cost in self.shown if cost not in (MULT_ADDS, PARAMS))

    def numbers(self, evaluation: Evaluation) -> dict[str, float]:
        """Return the numbers of :attr:`added` by name."""
        return {cost.name: cost.of(evaluation) for cost in self.added}

    # Limits

    @cached_property
    def limits(self) -> tuple[tuple[Objective, float], ...]:
        """The largest numbers of objectives other than PSNR and mult-adds, chosen or not."""
        most_of = {PARAMS: self.constraints.max_params, LATENCY: self.constraints.max_latency_ms}
        return tuple(
            (self._predicted(objective), most * objective.factor)
            for objective, most in most_of.items()
            if most is not None
        )

    @cached_property
    def _measured(self) -> tuple[tuple[Objective, float], ...]:
        """Those of :attr:`limits` whose numbers an evaluation measures."""
        return tuple(pair for pair in self.limits if pair[0].scored)

    @property
    def max_mult_adds(self) -> float | None:
        """The largest number of mult-adds; None for no limit."""
        most = self.constraints.max_mult_adds
        return None if most is None else most * MULT_ADDS.factor

    @property
    def min_mult_adds(self) -> float | None:
        """The smallest number of mult-adds; None for no limit."""
        least = self.constraints.min_mult_adds
        return None if least is None else least * MULT_ADDS.factor

    def learn(self, evaluations: Iterable[Evaluation]) -> None:
        """Expect the latencies of other networks by those that were measured.

        What is expected decides which networks are proposed. Fronts, hypervolumes and their bounds
        do not depend on it.
        """
        if self._predictor is not None:
            found = ((evaluation.genome, evaluation.score) for evaluation in evaluations)
            self._predictor.learn(
                (genome, score.latency) for genome, score in found if score and score.latency
            )

    def admissible(self, network: Network) -> bool:
        """Return whether a network is expected to meet the limits, before its training."""
        cost = network.cost
        most, least = self.max_mult_adds, self.min_mult_adds
        return (
            (most is None or cost.mult_adds <= most)
            and (least is None or cost.mult_adds >= least)
            and all(limited.expected(network) <= limit for limited, limit in self.limits)
        )

    def feasible(self, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
        """Return the evaluations with a score that meets the limits, in order."""
        return [
            evaluation
            for evaluation in evaluations
            if (score := evaluation.score) and not self.violation(evaluation, score.psnr)
        ]

    def violation(self, network: Network, psnr: float) -> float:
        """Return how far a network of this PSNR, in dB, is beyond the limits; 0 if it meets them.

        It is the dB below the minimum PSNR, plus one for each 10% above a limit on a cost, which
        only measured numbers exceed (our choice).
        """
        least = self.constraints.min_psnr
        excesses = (math.log(limited.expected(network) / most) for limited, most in self._measured)
        missing = 0.0 if least is None else max(0.0, least - psnr)
        return missing + 10 * sum(max(0.0, excess) for excess in excesses)

    # Points

    def point(self, evaluation: Evaluation, psnr: float | None = None) -> tuple[float, ...]:
        """Return the minimised objectives of a scored evaluation, by which distances are measured.

        These are the negative PSNR and mostly logarithms of costs: they change only the crowding
        distance, not domination, so that 1 G and 2 G are as far apart as 100 G and 200 G (our
        choice).

        Args:
            evaluation: the candidate and its score.
            psnr: PSNR in dB to use instead of the score.
        """
        score = evaluation.score
        assert score is not None, "only scored candidates compete"
        costs = (cost.coordinate(evaluation) for cost in self.costs)
        return (-(score.psnr if psnr is None else psnr), *costs)

    def points(self, psnr: FloatArray, networks: Sequence[Network]) -> FloatArray:
        """Return :meth:`point` of networks of these PSNR (N,) in dB: (N, objectives)."""
        values = np.array(
            [[cost.expected(network) for cost in self.costs] for network in networks],
            dtype=np.float64,
        ).reshape(len(networks), len(self.costs))
        logarithmic = np.array([cost.logarithmic for cost in self.costs], dtype=bool)
        signs = np.array([cost.minimised(1.0) for cost in self.costs])
        logs = np.log(np.where(logarithmic, values, 1.0))
        return np.column_stack([-psnr, signs * np.where(logarithmic, logs, values)])

    def matrix(self, evaluations: Sequence[Evaluation]) -> FloatArray:
        """Return the minimised objectives (N, M) of evaluations, the MSE for PSNR.

        Raises:
            ValueError: an evaluation failed.
        """
        errors = []
        for evaluation in evaluations:
            if not isinstance(evaluation.outcome, Score):
                raise ValueError(f"candidate {evaluation.key} failed and has no objectives")
            errors.append(evaluation.outcome.mse)
        costs = [
            cost.minimised(np.array([cost.of(network) for network in evaluations], np.float64))
            for cost in self.costs
        ]
        return np.column_stack([np.array(errors, np.float64), *costs])

    # Comparison of networks

    def ranked(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        """Return scored evaluations, the best first; the order in which they are given is ignored.

        They are sorted by rank under constrained domination, by descending crowding distance within
        the rank (Deb et al., 2002), and by key.
        """
        # Of points that are equal in an objective, the order decides whose distance is infinite.
        evaluations = sorted(evaluations, key=lambda evaluation: evaluation.key)
        points = np.array([self.point(evaluation) for evaluation in evaluations])
        order = self.ranks(points.reshape(len(evaluations), len(self.objectives)), evaluations)
        distances = np.zeros(len(points))
        for rank in np.unique(order):
            rows = np.flatnonzero(order == rank)
            distances[rows] = crowding_distances(points[rows])
        best = sorted(range(len(points)), key=lambda i: (order[i], -distances[i]))
        return [evaluations[i] for i in best]

    def ranks(self, points: FloatArray, networks: Sequence[Network]) -> IntArray:
        """Return the ranks (N,) under constrained domination of networks at these points."""
        pairs = zip(networks, points[:, 0], strict=True)
        return ranks(points, np.array([self.violation(network, -psnr) for network, psnr in pairs]))

    def front(self, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
        """Return the Pareto front, by default in MSE, mult-adds and parameters (paper, II).

        Infeasible evaluations are left out. Of several networks with equal objectives, the front
        contains the one with the smallest key, so that it does not depend on the order of
        evaluation.

        Returns:
            The front by the first cost, the best first, then key.
        """
        import moocore

        feasible = self.feasible(evaluations)
        matrix = self.matrix(feasible)
        front: dict[bytes, Evaluation] = {}
        for row in np.flatnonzero(moocore.is_nondominated(matrix, keep_weakly=True)):
            point, evaluation = matrix[row].tobytes(), feasible[row]
            if point not in front or evaluation.key < front[point].key:
                front[point] = evaluation
        return self.by_cost(front.values())

    def by_cost(
        self, evaluations: Iterable[Evaluation], cost: Objective | None = None
    ) -> list[Evaluation]:
        """Return evaluations by a cost, by default the first one: the best first, then by key."""
        return sorted(evaluations, key=lambda member: (self.place(member, cost), member.key))

    def place(self, evaluation: Evaluation, cost: Objective | None = None) -> float:
        """Return the minimised number of a cost, by default the first one."""
        cost = cost or self.first_cost
        return cost.minimised(cost.of(evaluation))

    def coordinate(self, evaluation: Evaluation) -> float:
        """Return the number of the first cost by which distances are measured."""
        return self.first_cost.coordinate(evaluation)

    # Hypervolume

    @cached_property
    def best(self) -> tuple[float, ...]:
        """The number of each objective at the best end of the hypervolume; PSNR first, in dB."""
        return (self.psnr_range[1], *(best for best, _ in self._ends))

    @cached_property
    def worst(self) -> tuple[float, ...]:
        """The number of each objective at the worst end of the hypervolume; PSNR first, in dB."""
        return (self.psnr_range[0], *(worst for _, worst in self._ends))

    def unit(self, matrix: FloatArray) -> FloatArray:
        """Map (N, M) of :meth:`matrix` to the unit cube, [0, 1]^M: 0 is best, 1 worst.

        Quality is linear in PSNR. Costs are on a log scale: the networks of a space span two orders
        of magnitude, and the paper's roulette (IV-E1) takes logarithms for the same reason. Values
        outside the bounds are clipped.
        """
        psnr = 10 * np.log10(PEAK**2 / matrix[:, 0])
        columns = [(self.best[0] - psnr) / (self.best[0] - self.worst[0])]
        for i, cost in enumerate(self.costs, start=1):
            # If all networks of the space have the same cost, they are all at the best end, 0.
            best, worst = (_position(cost, np.array(end[i])) for end in (self.best, self.worst))
            values = _position(cost, cost.minimised(matrix[:, i]))
            columns.append((values - best) / np.maximum(worst - best, np.finfo(float).tiny))
        return np.clip(np.column_stack(columns), 0.0, 1.0)

    def hypervolume(self, evaluations: Iterable[Evaluation]) -> float:
        """Return the hypervolume in 0..1: the share of the unit cube that is dominated.

        Its reference point is the worst corner.
        """
        import moocore

        points = self.unit(self.matrix(scored(evaluations)))
        reference = (1.0,) * len(self.objectives)
        return float(moocore.hypervolume(points, ref=reference)) if len(points) else 0.0

    @cached_property
    def _ends(self) -> list[tuple[float, float]]:
        """The best and the worst number of each cost that the search may propose."""
        ends = []
        for cost in self.costs:
            low, high = cost_range(cost, self.space, self.max_mult_adds)
            if cost == MULT_ADDS and self.min_mult_adds is not None:
                low = max(low, self.min_mult_adds)
            most = {limited.name: limit for limited, limit in self.limits}.get(cost.name, high)
            high = max(low, min(high, most))
            ends.append((high, low) if cost.maximised else (low, high))
        return ends

    def _predicted(self, objective: Objective) -> Objective:
        """Return an objective as it is, unless it is latency, which needs the profile."""
        named = objective.name == LATENCY.name  # perhaps another problem's
        return latency_on(self.profile, self._predictor) if named else objective


def scored(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the evaluations that have a score, in order."""
    return [evaluation for evaluation in evaluations if evaluation.score is not None]


def stored_problem(store: Store) -> Problem:
    """Return the problem of a stored search, with the PSNR range that is stored with it."""
    profile, psnr_range = store.profile, store.psnr_range
    known = None if profile is None else parse_profile(profile, str(store.path))
    with store.reading():
        problem = Problem.of(store.config, known)
    return problem if psnr_range is None else replace(problem, psnr_range=psnr_range)


def _group(settings: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the settings of a group by their own names."""
    start = f"{group}."
    return {
        name.removeprefix(start): value
        for name, value in settings.items()
        if name.startswith(start)
    }


def _position(objective: Objective, values: FloatArray) -> FloatArray:
    """Return where numbers of an objective are on a minimised axis, linear or logarithmic."""
    return objective.minimised(np.log10(values) if objective.logarithmic else values)
