"""Screening: generate many networks and train those that a surrogate expects the most of.

A controller generates several children per child that is trained. The surrogate
(:mod:`falsr_nas.surrogate.gaussian_process`), refitted after each generation, predicts their PSNR.
Children are picked one after another by the expected gain of hypervolume over a front: that of all
scores, corrected for noise, and of the children picked before. Each pick takes into account what
the scores of the earlier ones will say about it, which keeps a batch diverse.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Any

import moocore
import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.controller.admission import Drawn
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.space.cost import Cost
from falsr_nas.space.encoding import FloatArray
from falsr_nas.space.genome import Genome
from falsr_nas.surrogate.gaussian_process import Surrogate, Variances, fit, fitted_variances

FEWEST = 24
"""Scores that the surrogate needs."""

MOST = 1000
"""Scores that the surrogate is fitted to: the later half, and evenly spaced ones before."""

_NODES = ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6))
"""Gauss-Hermite nodes, in standard deviations, and weights of an expectation."""


class Screening:
    """Keeps the surrogate of a search, and picks candidates by it.

    Args:
        problem: of the search.
        every: number of new scores after which the surrogate's variances are fitted again.

    Attributes:
        surrogate: fitted to the scores so far; None while there are too few.
    """

    def __init__(self, problem: Problem, every: int) -> None:
        self.surrogate: Surrogate | None = None
        self._problem = problem
        self._every = every
        self._archive: dict[int, Evaluation] = {}  # by number
        self._fitted: list[Evaluation] = []  # those that the surrogate is fitted to
        self._variances: Variances | None = None
        self._variances_at = 0  # number of scores when the variances were fitted
        # Candidates whose scores are not known, and the PSNR predicted for them, by key.
        self._expected: dict[str, tuple[float, Candidate]] = {}

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Fit the surrogate to all scores."""
        for evaluation in evaluations:
            self._expected.pop(evaluation.key, None)
        self._archive |= {one.candidate.number: one for one in scored(evaluations)}
        self._fit()

    def denoised(self, evaluations: Sequence[Evaluation]) -> FloatArray:
        """Return the estimated PSNR (N,) without noise of scored evaluations, in dB.

        Without a surrogate these are the scores.
        """
        if self.surrogate is None or not evaluations:
            return _scores(evaluations)
        keys = (evaluation.key for evaluation in self._fitted)
        known = dict(zip(keys, self.surrogate.denoised.tolist(), strict=True))
        others = [evaluation for evaluation in evaluations if evaluation.key not in known]
        if others:
            mean, _ = self.surrogate.predict(*_evaluated(others))
            keys = (evaluation.key for evaluation in others)
            known |= dict(zip(keys, mean.tolist(), strict=True))
        return np.array([known[evaluation.key] for evaluation in evaluations])

    def best(self, evaluations: Sequence[Evaluation], count: int) -> list[Evaluation]:
        """Return about ``count`` of the best of these and of all that the surrogate is fitted to.

        Networks are ranked by the fronts of the scores without noise; whole fronts are returned.
        """
        found = {evaluation.key: evaluation for evaluation in (*self._fitted, *evaluations)}
        pool = list(found.values())
        if len(pool) <= count:
            return pool
        points = self._problem.points(self.denoised(pool), pool)
        ranks = self._problem.ranks(points, pool)
        last = np.sort(ranks)[count - 1]
        return [evaluation for evaluation, rank in zip(pool, ranks, strict=True) if rank <= last]

    def pick(self, drawn: Sequence[Drawn | Candidate], count: int) -> list[int]:
        """Return the indices of ``count`` drawn networks, the most promising first."""
        assert self.surrogate is not None
        genomes, costs = _networks(drawn)
        posterior = self.surrogate.posterior(genomes, costs)
        mean, deviation = posterior.mean, posterior.deviation
        gains = _Gains(
            self._problem.points(self.surrogate.denoised, self._fitted),
            self._problem.points(mean, drawn),
            self._problem.constraints.min_psnr,
        )
        expected = np.array([psnr for psnr, _ in self._expected.values()])
        pending = [candidate for _, candidate in self._expected.values()]
        gains.add(self._problem.points(expected, pending))

        def gain(i: int) -> float:
            return sum(w * gains.of(i, float(mean[i] + node * deviation[i])) for node, w in _NODES)

        heap = [(-gain(i), i, 0) for i in range(len(genomes))]
        heapq.heapify(heap)
        picked: list[int] = []
        # Gains fall while more networks are picked, so one that is still the largest after it is
        # computed again is the largest of all.
        while heap and len(picked) < count:
            _, i, known = heapq.heappop(heap)
            if known == len(picked):
                picked.append(i)
                gains.add_expected(i)
                posterior.evaluate(i)
                deviation = posterior.deviation
            else:
                heapq.heappush(heap, (-gain(i), i, len(picked)))
        return picked

    def expect(self, candidates: Sequence[Candidate]) -> None:
        """Note the predictions for candidates, beside which others are picked meanwhile."""
        if self.surrogate is None or not candidates:
            return
        mean, _ = self.surrogate.predict(*_networks(candidates))
        for candidate, psnr in zip(candidates, mean.tolist(), strict=True):
            self._expected[candidate.key] = psnr, candidate

    def state(self) -> dict[str, Any]:
        """Return as JSON what :meth:`restore` needs beside the evaluations."""
        return {
            "variances": None
            if self._variances is None
            else [*self._variances.blocks, self._variances.noise],
            "variances_at": self._variances_at,
            "expected": {key: psnr for key, (psnr, _) in self._expected.items()},
        }

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`, after these evaluations and with these candidates asked."""
        self._archive = {evaluation.candidate.number: evaluation for evaluation in scored(told)}
        asked = {candidate.key: candidate for candidate in pending}
        self._expected = {
            key: (psnr, asked[key]) for key, psnr in state["expected"].items() if key in asked
        }
        self._variances_at, values = state["variances_at"], state["variances"]
        self._variances = None if values is None else Variances(tuple(values[:-1]), values[-1])
        self._fit()

    def _fit(self) -> None:
        archive = [self._archive[number] for number in sorted(self._archive)]
        if len(archive) < FEWEST:
            self.surrogate = None
            return
        self._fitted = _latest_and_spaced(archive, MOST)
        genomes, costs = _evaluated(self._fitted)
        psnr, n = _scores(self._fitted), self._problem.space.n
        if self._variances is None or len(archive) >= self._variances_at + self._every:
            self._variances = fitted_variances(genomes, costs, psnr, n)
            self._variances_at = len(archive)
        self.surrogate = fit(genomes, costs, psnr, self._variances, n)


class _Gains:
    """Gains of hypervolume over a front that grows.

    The worst PSNR is a tenth of the front's range below the front, or the minimum PSNR. Only the
    worst corner matters for the order of gains, not the units.

    Args:
        points: coordinates (N, O) of scored networks, negative PSNR first.
        expected: coordinates (M, O) of drawn networks.
        min_psnr: minimum PSNR of the search in dB.
    """

    def __init__(self, points: FloatArray, expected: FloatArray, min_psnr: float | None) -> None:
        points = points[moocore.is_nondominated(points)]
        high, low = -points[:, 0].min(), -points[:, 0].max()
        worst = low - 0.1 * max(high - low, 1e-3)
        if min_psnr is not None:
            worst = max(worst, min_psnr)
        self._new = expected
        self._worst = np.vstack([points, self._new]).max(axis=0) + 1e-6
        self._worst[0] = -worst
        self._front = np.minimum(points, self._worst)

    def of(self, i: int, psnr: float) -> float:
        """Return the gain of the i-th of the drawn networks, at this PSNR."""
        point = self._new[i].copy()
        point[0] = -psnr
        if -psnr >= self._worst[0] or (self._front <= point).all(axis=1).any():
            return 0.0
        covered = moocore.hypervolume(np.maximum(self._front, point), ref=self._worst)
        return float(np.prod(self._worst - point) - covered)

    def add(self, points: FloatArray) -> None:
        """Add networks (N, O) to the front."""
        self._front = np.vstack([self._front, np.minimum(points, self._worst)])

    def add_expected(self, i: int) -> None:
        """Add the i-th of the drawn networks at its expected PSNR."""
        self.add(self._new[i : i + 1])


def _networks(networks: Iterable[Drawn | Candidate]) -> tuple[list[Genome], list[Cost]]:
    found = list(networks)
    return [network.genome for network in found], [network.cost for network in found]


def _evaluated(evaluations: Sequence[Evaluation]) -> tuple[list[Genome], list[Cost]]:
    return _networks(evaluation.candidate for evaluation in evaluations)


def _scores(evaluations: Sequence[Evaluation]) -> FloatArray:
    """Return the PSNR (N,) in dB of those that have a score."""
    return np.array([evaluation.score.psnr for evaluation in evaluations if evaluation.score])


def _latest_and_spaced(scored: list[Evaluation], most: int) -> list[Evaluation]:
    """Return at most ``most``: the latest half, and evenly spaced ones of those before."""
    if len(scored) <= most:
        return scored
    before, latest = scored[: -most // 2], scored[-most // 2 :]
    rows = np.linspace(0, len(before) - 1, most - len(latest)).round().astype(int)
    return [*(before[i] for i in rows), *latest]
