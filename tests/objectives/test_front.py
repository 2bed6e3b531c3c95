from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.objectives.front import (
    ObjectiveScale,
    hypervolume,
    objective_matrix,
    pareto_front,
    scored,
    summarise,
)
from falsr_nas.objectives.objective import PAPER_OBJECTIVES
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.search_space import SearchSpace

SPACE = SearchSpace(n=2)
GENOMES = [SPACE.sample(np.random.default_rng(seed)) for seed in range(200)]
SCALE = ObjectiveScale(PAPER_OBJECTIVES, (50.0, 100, 10), (20.0, 10_000, 1_000))


def mse_of(psnr: float) -> float:
    return 255.0**2 / 10 ** (psnr / 10)


def evaluation(
    psnr: float, mult_adds: int, params: int, genome: int = 0, generation: int = 0
) -> Evaluation:
    candidate = Candidate(
        GENOMES[genome], Cost(params, mult_adds), Origin(("initial",)), generation, genome
    )
    return Evaluation(candidate, Score(mse_of(psnr), psnr, 1.0))


def failure(generation: int = 0) -> Evaluation:
    candidate = Candidate(GENOMES[-1], Cost(1, 1), Origin(("initial",)), generation, 0)
    return Evaluation(candidate, Failure(FailureKind.DIVERGED, "nan"))


# Few values per axis, so that ties and equal coordinates are common.
points = st.lists(st.tuples(st.integers(20, 25), st.integers(1, 5), st.integers(1, 5)), max_size=30)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


@given(points)
def test_front_equals_brute_force(rows: list[tuple[int, int, int]]) -> None:
    evaluations = [evaluation(*row, genome=i) for i, row in enumerate(rows)]
    front = pareto_front(evaluations)
    vectors = objective_matrix(evaluations)
    expected = {tuple(v) for v in vectors if not any(dominates(other, v) for other in vectors)}
    found = [tuple(v) for v in objective_matrix(front)]
    assert set(found) == expected
    assert len(found) == len(expected)
    for member, vector in zip(front, found, strict=True):
        assert member.key == min(
            e.key for e, v in zip(evaluations, vectors, strict=True) if tuple(v) == vector
        )


@given(points, st.randoms(use_true_random=False))
def test_front_does_not_depend_on_the_order(
    rows: list[tuple[int, int, int]], random: object
) -> None:
    evaluations = [evaluation(*row, genome=i) for i, row in enumerate(rows)]
    shuffled = evaluations.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    front = pareto_front(evaluations)
    assert front == pareto_front(shuffled)
    assert front == sorted(front, key=lambda e: (e.candidate.cost.mult_adds, e.key))
    assert pareto_front(front) == front


def test_front_leaves_out_failures_and_low_psnr() -> None:
    good, bad = evaluation(30, 500, 500, 1), evaluation(24, 10, 10, 2)
    assert pareto_front([failure(), good, bad]) == [bad, good]
    assert pareto_front([failure(), good, bad], min_psnr=24.5) == [good]
    assert scored([failure(), good, bad], min_psnr=30.0) == [good]
    assert pareto_front([failure()]) == []


def test_the_front_of_100_000_points_dominates_all_of_them() -> None:
    rng = np.random.default_rng(0)
    psnr, mult_adds, params = (
        rng.uniform(20, 40, 100_000),
        rng.integers(1, 10**12, 100_000),
        rng.integers(1, 10**6, 100_000),
    )
    evaluations = [
        evaluation(p, int(m), int(k)) for p, m, k in zip(psnr, mult_adds, params, strict=True)
    ]
    front = pareto_front(evaluations)
    assert 0 < len(front) < 1_000
    corners = np.array(
        [
            (one.score.psnr, -one.candidate.cost.mult_adds, -one.candidate.cost.params)
            for one in front
        ]
    )
    for point in np.column_stack([psnr, -mult_adds, -params])[:500]:
        assert ((corners >= point).all(axis=1)).any()


def test_failures_have_no_objectives() -> None:
    with pytest.raises(ValueError, match="failed"):
        objective_matrix([failure()])


@pytest.mark.parametrize(
    ("psnr", "mult_adds", "params", "expected"),
    [
        (50, 100, 10, (0, 0, 0)),
        (20, 10_000, 1_000, (1, 1, 1)),
        (35, 1_000, 100, (0.5, 0.5, 0.5)),
        (60, 10, 1, (0, 0, 0)),  # values outside the bounds are clipped
        (3, 10**9, 10**9, (1, 1, 1)),
    ],
)
def test_scale(
    psnr: float, mult_adds: int, params: int, expected: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(
        SCALE.unit(objective_matrix([evaluation(psnr, mult_adds, params)]))[0], expected, atol=1e-12
    )


def test_scale_of_a_space_contains_its_networks() -> None:
    scale = ObjectiveScale.of_space(SPACE)
    costs = [genome_cost(genome) for genome in GENOMES]
    rows = np.array([[1.0, c.mult_adds, c.params] for c in costs])
    unit = scale.unit(rows)[:, 1:]
    assert ((unit > 0) & (unit < 1)).all()


def test_scale_of_a_space_of_equal_costs_measures_quality_alone() -> None:
    flat = ObjectiveScale(PAPER_OBJECTIVES, (50.0, 100, 10), (20.0, 100, 10))
    assert hypervolume([evaluation(35, 100, 10)], flat) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("best", "worst"),
    [
        ((50.0, 1, 0), (20.0, 1, 1)),
        ((50.0, 2, 2), (20.0, 1, 2)),
        ((20.0, 1, 1), (50.0, 2, 2)),
        ((20.0, 1, 1), (20.0, 2, 2)),
    ],
)
def test_scale_rejects_invalid_bounds(best: tuple[float, ...], worst: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must|worse"):
        ObjectiveScale(PAPER_OBJECTIVES, best, worst)


def test_hypervolume_equals_boxes_computed_by_hand() -> None:
    middle = evaluation(35, 1_000, 100, 1)  # at (.5, .5, .5)
    # At (.25, .5, .75), up to the rounding of the parameters.
    sharp = evaluation(42.5, 1_000, round(10 * 10**1.5), 2)
    assert hypervolume([], SCALE) == hypervolume([failure()], SCALE) == 0.0
    assert hypervolume([middle], SCALE) == pytest.approx(0.125)
    side = 1 - math.log10(round(10 * 10**1.5) / 10) / 2
    assert hypervolume([middle, sharp], SCALE) == pytest.approx(0.125 + (0.75 - 0.5) * 0.5 * side)
    assert hypervolume([evaluation(50, 100, 10)], SCALE) == pytest.approx(1.0)
    assert hypervolume([evaluation(19, 100, 10)], SCALE) == 0.0  # below the lower bound


wide = st.lists(
    st.tuples(st.floats(5, 60), st.integers(1, 10**6), st.integers(1, 10**5)), max_size=20
)


@given(wide, st.tuples(st.floats(5, 60), st.integers(1, 10**6), st.integers(1, 10**5)))
def test_another_point_never_lowers_the_hypervolume(
    rows: list[tuple[float, int, int]], extra: tuple[float, int, int]
) -> None:
    evaluations = [evaluation(*row, genome=i) for i, row in enumerate(rows)]
    before = hypervolume(evaluations, SCALE)
    after = hypervolume([*evaluations, evaluation(*extra, genome=50)], SCALE)
    assert 0.0 <= before <= after + 1e-12 <= 1.0 + 1e-9
    assert hypervolume(pareto_front(evaluations), SCALE) == pytest.approx(before, abs=1e-12)


def test_summary() -> None:
    evaluations = [
        evaluation(35, 1_000, 100, 1),
        evaluation(42, 5_000, 500, 2, generation=3),
        failure(generation=1),
        evaluation(30, 2_000, 200, 4),
    ]
    summary = summarise(evaluations, SCALE)
    assert (
        summary.generation,
        summary.candidates,
        summary.failures,
        summary.best_psnr,
        summary.front_size,
    ) == (3, 4, 1, 42, 2)
    assert summary.hypervolume == pytest.approx(hypervolume(evaluations, SCALE))
    strict = summarise(evaluations, SCALE, min_psnr=40)
    assert (strict.front_size, strict.best_psnr) == (1, 42)
    assert strict.hypervolume == pytest.approx(hypervolume([evaluations[1]], SCALE))
    empty = summarise([], SCALE)
    assert (empty.generation, empty.best_psnr, empty.hypervolume, empty.front_size) == (
        -1,
        None,
        0.0,
        0,
    )


@pytest.mark.parametrize("limit", [2.0, 12.0, 60.0])
def test_scale_ends_at_the_mult_adds_limit(limit: float) -> None:
    scale, whole = ObjectiveScale.of_space(SPACE, limit), ObjectiveScale.of_space(SPACE)
    assert scale.best == whole.best
    _, mult_adds, most_params = scale.worst
    assert mult_adds == pytest.approx(limit * 1e9)
    rng = np.random.default_rng(1)
    costs = [genome_cost(SPACE.sample(rng)) for _ in range(4000)]
    params = [cost.params for cost in costs if cost.mult_adds <= limit * 1e9]
    # Weights alone are bounded by the limit; biases are a few percent more.
    assert max(params, default=0) <= 1.1 * most_params
    assert most_params < whole.worst[2]


def test_scale_of_a_limit_that_nothing_reaches_is_that_of_the_space() -> None:
    assert ObjectiveScale.of_space(SPACE, 1e6) == ObjectiveScale.of_space(SPACE)
