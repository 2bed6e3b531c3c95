"""What a search minimises: mean squared error, mult-adds and parameters; the front, and the volume that a front dominates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation, Failure, Score
from falsr_nas.data.levels import PEAK
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.enumeration import heaviest, lightest
from falsr_nas.space.search_space import SearchSpace

FloatArray = NDArray[np.float64]

REFERENCE = (1.0, 1.0, 1.0)
"""The worst corner of the unit cube of :class:`ObjectiveScale`: the reference point of every hypervolume."""


@dataclass(frozen=True, slots=True)
class ObjectiveScale:
    """Fixed bounds that map objectives to the unit cube, 0 best and 1 worst, so that runs compare.

    Quality is linear in PSNR, as people read it. Costs are on a log scale: the networks of a space
    span two orders of magnitude, and the paper's roulette (IV-E1) takes logarithms for the same
    reason. What lies outside the bounds counts as lying on them.

    Attributes:
        lightest: fewest parameters and fewest mult-adds in the search space.
        heaviest: most parameters and most mult-adds in the search space.
        psnr: PSNR in dB that is worth nothing, and PSNR that is worth all there is; 20 and 50 are
            our choice.

    Raises:
        ValueError: when a lower bound is not positive or above its upper bound.
    """

    lightest: Cost
    heaviest: Cost
    psnr: tuple[float, float] = (20.0, 50.0)

    def __post_init__(self) -> None:
        if (
            not 0 < self.lightest.params <= self.heaviest.params
            or not 0 < self.lightest.mult_adds <= self.heaviest.mult_adds
        ):
            raise ValueError(
                f"the lightest network, {self.lightest}, must cost something and no more than the heaviest, {self.heaviest}"
            )
        if not self.psnr[0] < self.psnr[1]:
            raise ValueError(f"PSNR bounds {self.psnr} must ascend")

    @classmethod
    def of_space(cls, space: SearchSpace) -> ObjectiveScale:
        """The scale of a search space, from its lightest to its heaviest network."""
        return cls(genome_cost(lightest(space)), genome_cost(heaviest(space)))

    def unit(self, objectives: FloatArray) -> FloatArray:
        """Objectives (N, 3) as of :func:`objective_matrix`, mapped to [0, 1]^3; all are still minimised."""
        low = np.log10([self.lightest.mult_adds, self.lightest.params])
        high = np.log10([self.heaviest.mult_adds, self.heaviest.params])
        psnr = 10 * np.log10(PEAK**2 / objectives[:, 0])
        quality = (self.psnr[1] - psnr) / (self.psnr[1] - self.psnr[0])
        # A space of equal costs has no span: there its networks are all at the best end, 0.
        costs = (np.log10(objectives[:, 1:]) - low) / np.maximum(high - low, np.finfo(float).tiny)
        unit: FloatArray = np.clip(np.column_stack([quality, costs]), 0.0, 1.0)
        return unit


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """How a search stands after a generation.

    Attributes:
        generation: the last one that has evaluations, counted from 0; -1 before any.
        candidates: evaluations so far, failures included.
        failures: evaluations without a score.
        best_psnr: highest PSNR in dB, or None before any score.
        hypervolume: of the front, in 0..1.
        front_size: networks on the front.
        failures_by_kind: how many of the failures are of each kind that occurred.
        retries: attempts beyond the first, of all evaluations.
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
    """Objectives (N, 3) of scored evaluations, all minimised: MSE, mult-adds, parameters. Raises ValueError where one failed."""
    rows = [_objectives(evaluation) for evaluation in evaluations]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def pareto_front(
    evaluations: Iterable[Evaluation], min_psnr: float | None = None
) -> list[Evaluation]:
    """The scored evaluations that no other one dominates in MSE, mult-adds and parameters (the paper's objectives, II).

    Failures, and scores below ``min_psnr`` (dB), do not take part. Of networks equal in all three,
    the one of the smallest key stands for all, so that the front does not depend on the order of
    evaluation.

    Returns:
        The front by ascending mult-adds, then key.
    """
    import moocore  # a command that prints its help needs none of it

    able = scored(evaluations, min_psnr)
    matrix = objective_matrix(able)
    standing = np.flatnonzero(moocore.is_nondominated(matrix, keep_weakly=True))
    chosen: dict[bytes, Evaluation] = {}
    for row in standing:
        ties, evaluation = matrix[row].tobytes(), able[row]
        if ties not in chosen or evaluation.key < chosen[ties].key:
            chosen[ties] = evaluation
    return sorted(
        chosen.values(),
        key=lambda evaluation: (evaluation.candidate.cost.mult_adds, evaluation.key),
    )


def hypervolume(evaluations: Iterable[Evaluation], scale: ObjectiveScale) -> float:
    """Share of the unit cube of ``scale`` that the scored evaluations dominate, in 0..1; dominated ones and failures add nothing."""
    import moocore

    points = scale.unit(objective_matrix(scored(evaluations)))
    return float(moocore.hypervolume(points, ref=REFERENCE)) if len(points) else 0.0


def scored(evaluations: Iterable[Evaluation], min_psnr: float | None = None) -> list[Evaluation]:
    """The evaluations that have a score, of at least ``min_psnr`` dB where that is given, in their order."""
    return [
        e
        for e in evaluations
        if isinstance(e.outcome, Score) and (min_psnr is None or e.outcome.psnr >= min_psnr)
    ]


def summarise(
    evaluations: Sequence[Evaluation], scale: ObjectiveScale, min_psnr: float | None = None
) -> SearchSummary:
    """How a search of these evaluations stands; its front holds none below ``min_psnr`` dB."""
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
    spent = evaluation.candidate.cost
    return evaluation.outcome.mse, spent.mult_adds, spent.params
