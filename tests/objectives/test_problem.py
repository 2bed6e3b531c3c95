"""The problem of a search: limits, ranks, fronts and hypervolumes, also of other objectives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.controller.individual import ConstrainedFitness, Individual, assess
from falsr_nas.core.errors import UserError
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.bounds import value_range
from falsr_nas.objectives.objective import LATENCY, MULT_ADDS, OBJECTIVES, PARAMS
from falsr_nas.objectives.problem import Problem, scored
from falsr_nas.objectives.settings import Constraints
from falsr_nas.objectives.summary import summarise
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.search_space import SearchSpace
from made_problem import LINKS, bounded_problem
from made_profile import made_profile

SMALL = SearchSpace(n=2)
GENOMES = [SMALL.sample(np.random.default_rng(seed)) for seed in range(200)]
BOUNDED = bounded_problem((50.0, 100, 10), (20.0, 10_000, 1_000), space=SMALL)

SPACE = SearchSpace(n=3)
PROFILE = made_profile(SPACE)
PAPER = Problem(SPACE)
QUALITY = Problem(SPACE, costs=())
TIMED = Problem(SPACE, costs=(LATENCY,), profile=PROFILE)
FOUR = replace(TIMED, costs=(*TIMED.costs, PARAMS, LINKS))
ALL = pytest.mark.parametrize("problem", [QUALITY, TIMED, PAPER, FOUR], ids=["1", "2", "3", "4"])


def evaluation(
    psnr: float, mult_adds: int, params: int, genome: int = 0, generation: int = 0
) -> Evaluation:
    """Return an evaluation with made-up costs."""
    candidate = Candidate(
        GENOMES[genome], Cost(params, mult_adds), Origin(("initial",)), generation, genome
    )
    return Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0))


def failure(generation: int = 0) -> Evaluation:
    candidate = Candidate(GENOMES[-1], Cost(1, 1), Origin(("initial",)), generation, 0)
    return Evaluation(candidate, Failure(FailureKind.DIVERGED, "nan"))


def drawn(count: int, seed: int = 0) -> list[Evaluation]:
    """Return evaluations of networks with few different PSNR, so that ties are common."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        genome = SPACE.sample(rng).canonical()
        psnr = float(rng.integers(28, 33))
        candidate = Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)
        found.append(Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0)))
    return found


def numbers(evaluation: Evaluation, problem: Problem) -> tuple[float, ...]:
    """Return what is maximised, without the code under test."""
    genome, cost = evaluation.candidate.genome, evaluation.candidate.cost
    number = {
        "mult_adds": -cost.mult_adds,
        "params": -cost.params,
        "latency": -PROFILE.latency(genome) if problem.profile else 0.0,
        "links": sum(len(nodes) for nodes in genome.links),
    }
    assert evaluation.score is not None
    return (evaluation.score.psnr, *(number[cost.name] for cost in problem.costs))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether numbers that are maximised dominate others."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def front_keys(evaluations: Sequence[Evaluation], problem: Problem) -> set[str]:
    """Return the keys of the front by brute force: of equal networks the smallest."""
    rows = [numbers(one, problem) for one in evaluations]
    smallest: dict[tuple[float, ...], str] = {}
    for one, row in zip(evaluations, rows, strict=True):
        if not any(dominates(other, row) for other in rows):
            smallest[row] = min(one.key, smallest.get(row, one.key))
    return set(smallest.values())


# Fronts

# Few values per axis, so that ties and equal coordinates are common.
points = st.lists(st.tuples(st.integers(20, 25), st.integers(1, 5), st.integers(1, 5)), max_size=30)


@given(points)
def test_front_equals_brute_force(rows: list[tuple[int, int, int]]) -> None:
    evaluations = [evaluation(*row, genome=i) for i, row in enumerate(rows)]
    front = [member.key for member in PAPER.front(evaluations)]
    assert set(front) == front_keys(evaluations, PAPER)
    assert len(front) == len(set(front))


@ALL
def test_front_of_any_objectives_equals_brute_force(problem: Problem) -> None:
    evaluations = drawn(80)
    front = problem.front(evaluations)
    assert {member.key for member in front} == front_keys(evaluations, problem)
    assert len({numbers(member, problem) for member in front}) == len(front)
    first = [problem.place(member) for member in front]
    assert first == sorted(first)
    assert problem.front(evaluations[::-1]) == front


@given(points, st.randoms(use_true_random=False))
def test_front_does_not_depend_on_the_order(
    rows: list[tuple[int, int, int]], random: object
) -> None:
    evaluations = [evaluation(*row, genome=i) for i, row in enumerate(rows)]
    shuffled = evaluations.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    front = PAPER.front(evaluations)
    assert front == PAPER.front(shuffled)
    assert front == sorted(front, key=lambda e: (e.candidate.cost.mult_adds, e.key))
    assert PAPER.front(front) == front == PAPER.by_cost(front)


def test_front_leaves_out_failures_and_low_psnr() -> None:
    good, bad = evaluation(30, 500, 500, 1), evaluation(24, 10, 10, 2)
    strict = Problem(constraints=Constraints(min_psnr=24.5))
    assert PAPER.front([failure(), good, bad]) == [bad, good]
    assert strict.front([failure(), good, bad]) == [good]
    exact = Problem(constraints=Constraints(min_psnr=30.0))
    assert exact.feasible([failure(), good, bad]) == [good]
    assert scored([failure(), good, bad]) == PAPER.feasible([failure(), good, bad]) == [good, bad]
    assert PAPER.front([failure()]) == []


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
    front = PAPER.front(evaluations)
    assert 0 < len(front) < 1_000
    corners = np.array([numbers(member, PAPER) for member in front])
    for point in np.column_stack([psnr, -mult_adds, -params])[:500]:
        assert ((corners >= point).all(axis=1)).any()


def test_failures_have_no_objectives() -> None:
    with pytest.raises(ValueError, match="failed"):
        PAPER.matrix([failure()])


# Ranks


@pytest.mark.parametrize("min_psnr", [None, 29.0, 31.0])
@pytest.mark.parametrize("seed", range(5))
@ALL
def test_the_order_of_ranked_is_that_of_deap(
    problem: Problem, seed: int, min_psnr: float | None
) -> None:
    """DEAP sorts individuals under constrained domination, as the population of NSGA-II is."""
    problem = replace(problem, constraints=Constraints(min_psnr=min_psnr))
    rng, evaluations = np.random.default_rng(seed), []
    for one in drawn(40, seed):
        psnr = float(rng.uniform(28, 32))
        evaluations.append(replace(one, outcome=Score(mse_from_psnr(psnr), psnr, 1.0)))
    evaluations.sort(key=lambda evaluation: evaluation.key)  # ties depend on the order in DEAP
    population = [Individual(one, problem) for one in evaluations]
    assess(population)
    ranks = [one.rank for one in population]
    matrix = np.array([problem.point(one) for one in evaluations])
    assert problem.ranks(matrix, evaluations).tolist() == ranks
    preference = {one.evaluation.key: one.preference for one in population}
    ranked = problem.ranked(evaluations)
    assert sorted(one.key for one in ranked) == sorted(preference)
    order = [preference[one.key] for one in ranked]
    assert [rank for rank, _ in order] == sorted(ranks)
    for (rank, distance), (next_rank, next_distance) in itertools.pairwise(order):
        # Infinite distances are equal; others may differ by rounding.
        assert rank < next_rank or distance <= next_distance + 1e-9
    assert problem.ranked(evaluations[::-1]) == ranked


@ALL
def test_ranked_ignores_the_order_even_where_networks_are_equal_in_an_objective(
    problem: Problem,
) -> None:
    evaluations = drawn(40)
    ranked = problem.ranked(evaluations)
    for seed in range(20):
        shuffled = [evaluations[i] for i in np.random.default_rng(seed).permutation(40)]
        assert problem.ranked(shuffled) == ranked


@ALL
def test_order_is_the_same_wherever_networks_are_compared(problem: Problem) -> None:
    """Points, the matrix, the unit cube and fitness: each dominates where the others do."""
    evaluations = drawn(30)
    problem = replace(problem, psnr_range=(20.0, 40.0))
    raw, rows = problem.matrix(evaluations), [numbers(one, problem) for one in evaluations]
    points = np.array([problem.point(one) for one in evaluations])
    psnr = np.array([one.score.psnr for one in evaluations if one.score])
    assert np.allclose(points, problem.points(psnr, [one.candidate for one in evaluations]))
    unit = problem.unit(raw)
    fitness = [ConstrainedFitness(one, problem) for one in evaluations]
    for a, b in itertools.permutations(range(30), 2):
        dominated = dominates(rows[a], rows[b])
        assert dominated == dominates(-raw[a], -raw[b]) == dominates(-points[a], -points[b])
        assert fitness[a].dominates(fitness[b]) == dominated
        if dominated:
            assert (unit[a] <= unit[b]).all()
    assert (moocore.pareto_rank(points) == moocore.pareto_rank(raw)).all()


def test_points_can_have_another_psnr_than_the_score() -> None:
    one = drawn(1)[0]
    assert PAPER.point(one, 40.0) == (-40.0, *PAPER.point(one)[1:])


def test_violation_is_what_is_missing_to_the_minimum_psnr() -> None:
    strict = Problem(constraints=Constraints(min_psnr=30.0))
    one = drawn(1)[0]
    assert [strict.violation(one, psnr) for psnr in (28.5, 30.0, 31.0)] == [1.5, 0.0, 0.0]
    assert PAPER.violation(one, 3.0) == 0.0


# Hypervolume


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
def test_unit_cube(
    psnr: float, mult_adds: int, params: int, expected: tuple[float, float, float]
) -> None:
    matrix = BOUNDED.matrix([evaluation(psnr, mult_adds, params)])
    np.testing.assert_allclose(BOUNDED.unit(matrix)[0], expected, atol=1e-12)


def test_the_unit_cube_contains_the_networks_of_the_space() -> None:
    costs = [genome_cost(genome) for genome in GENOMES]
    rows = np.array([[1.0, c.mult_adds, c.params] for c in costs])
    unit = Problem(SMALL).unit(rows)[:, 1:]
    assert ((unit > 0) & (unit < 1)).all()


def test_hypervolume_of_a_space_of_equal_costs_measures_quality_alone() -> None:
    flat = bounded_problem((50.0, 100, 10), (20.0, 100, 10))
    assert flat.hypervolume([evaluation(35, 100, 10)]) == pytest.approx(0.5)


@pytest.mark.parametrize("psnr_range", [(50.0, 20.0), (20.0, 20.0)])
def test_a_psnr_range_that_does_not_ascend_is_rejected(psnr_range: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must ascend"):
        Problem(psnr_range=psnr_range)


def test_hypervolume_equals_boxes_computed_by_hand() -> None:
    middle = evaluation(35, 1_000, 100, 1)  # at (.5, .5, .5)
    # At (.25, .5, .75), up to the rounding of the parameters.
    sharp = evaluation(42.5, 1_000, round(10 * 10**1.5), 2)
    volume = BOUNDED.hypervolume
    assert volume([]) == volume([failure()]) == 0.0
    assert volume([middle]) == pytest.approx(0.125)
    side = 1 - math.log10(round(10 * 10**1.5) / 10) / 2
    assert volume([middle, sharp]) == pytest.approx(0.125 + (0.75 - 0.5) * 0.5 * side)
    assert volume([evaluation(50, 100, 10)]) == pytest.approx(1.0)
    assert volume([evaluation(19, 100, 10)]) == 0.0  # below the lower bound


@ALL
def test_hypervolume_equals_a_count_of_points(problem: Problem) -> None:
    evaluations = drawn(40)
    problem = replace(problem, psnr_range=(25.0, 35.0))
    unit = problem.unit(problem.matrix(evaluations))
    assert ((unit >= 0) & (unit <= 1)).all()
    shots = np.random.default_rng(1).random((40_000, len(problem.objectives)))
    share = np.mean((unit[None] <= shots[:, None]).all(axis=2).any(axis=1))
    volume = problem.hypervolume(evaluations)
    assert volume == pytest.approx(share, abs=0.012)
    assert problem.hypervolume(problem.front(evaluations)) == pytest.approx(volume)


wide = st.lists(
    st.tuples(st.floats(5, 60), st.integers(1, 10**6), st.integers(1, 10**5)), max_size=20
)


@given(wide, st.tuples(st.floats(5, 60), st.integers(1, 10**6), st.integers(1, 10**5)))
def test_another_point_never_lowers_the_hypervolume(
    rows: list[tuple[float, int, int]], extra: tuple[float, int, int]
) -> None:
    evaluations = [evaluation(*row, genome=i) for i, row in enumerate(rows)]
    before = BOUNDED.hypervolume(evaluations)
    after = BOUNDED.hypervolume([*evaluations, evaluation(*extra, genome=50)])
    assert 0.0 <= before <= after + 1e-12 <= 1.0 + 1e-9
    assert BOUNDED.hypervolume(BOUNDED.front(evaluations)) == pytest.approx(before, abs=1e-12)


# Ends of the hypervolume


@pytest.mark.parametrize("limit", [2.0, 12.0, 60.0])
def test_the_worst_end_is_at_the_limit_on_mult_adds(limit: float) -> None:
    limited, whole = Problem(SMALL, constraints=Constraints(limit)), Problem(SMALL)
    assert limited.best == whole.best
    _, mult_adds, most_params = limited.worst
    assert mult_adds == pytest.approx(limit * 1e9)
    rng = np.random.default_rng(1)
    costs = [genome_cost(SMALL.sample(rng)) for _ in range(4000)]
    params = [cost.params for cost in costs if cost.mult_adds <= limit * 1e9]
    # Weights alone are bounded by the limit; biases are a few percent more.
    assert max(params, default=0) <= 1.1 * most_params
    assert most_params < whole.worst[2]


def test_a_limit_that_nothing_reaches_does_not_move_the_ends() -> None:
    limited, whole = Problem(SMALL, constraints=Constraints(1e6)), Problem(SMALL)
    assert (limited.best, limited.worst) == (whole.best, whole.worst)


def test_the_best_end_is_at_the_lower_limit() -> None:
    floored = Problem(SPACE, constraints=Constraints(min_mult_adds=30))
    assert floored.best[1] == 30e9
    assert (floored.worst, floored.best[2]) == (PAPER.worst, PAPER.best[2])


def test_the_worst_end_is_at_the_limit_of_latency() -> None:
    low, high = value_range(TIMED.costs[0], SPACE)
    assert (TIMED.best[1], TIMED.worst[1]) == (low, high)
    limit = (low + high) / 2
    limited = replace(TIMED, constraints=Constraints(max_latency_ms=limit))
    assert limited.worst[1] == limit


# Settings


def test_problems_of_earlier_searches_are_the_papers() -> None:
    assert Problem.of({}) == Problem()
    assert Problem().costs == (MULT_ADDS, PARAMS)


def test_the_problem_of_settings() -> None:
    settings = {
        "seed": 3,
        "objectives": ["params", "psnr", "mult_adds"],
        "space.n": 3,
        "space.channels": [16, 32],  # as it is stored
        "constraints.max_mult_adds": 60,
        "constraints.min_psnr": 29.5,
        "controller.population_size": 8,
    }
    space = SearchSpace(n=3, channels=(16, 32))
    constraints = Constraints(max_mult_adds=60, min_psnr=29.5)
    assert Problem.of(settings) == Problem(space, (PARAMS, MULT_ADDS), constraints)


def test_latency_needs_a_profile() -> None:
    for settings in ({"objectives": ["psnr", "latency"]}, {"constraints.max_latency_ms": 9}):
        with pytest.raises(UserError, match="give latency=device.json"):
            Problem.of(settings)
    genome = drawn(1)[0].candidate.genome
    assert TIMED.costs[0].measure(genome, genome_cost(genome)) == PROFILE.latency(genome)
    assert TIMED.costs[0].name == LATENCY.name == OBJECTIVES["latency"].name


def test_limits_are_in_the_units_of_tables() -> None:
    constraints = Constraints(max_params=50, max_latency_ms=7.5, min_mult_adds=8)
    limited = Problem(SPACE, constraints=constraints, profile=PROFILE)
    for one in drawn(40):
        genome, cost = one.candidate.genome, one.candidate.cost
        within = cost.params <= 50_000 and PROFILE.latency(genome) <= 7.5 and cost.mult_adds >= 8e9
        assert limited.admissible(one.candidate) == within
    assert [cost.name for cost in limited.shown] == ["mult_adds", "params", "latency"]
    assert [cost.name for cost in limited.added] == ["latency"]
    assert [cost.name for cost in TIMED.shown] == ["latency", "mult_adds", "params"]
    _, mult_adds, params = limited.worst
    assert params == 50_000
    assert mult_adds == PAPER.worst[1]


# Summary


def test_summary() -> None:
    evaluations = [
        evaluation(35, 1_000, 100, 1),
        evaluation(42, 5_000, 500, 2, generation=3),
        failure(generation=1),
        evaluation(30, 2_000, 200, 4),
    ]
    summary = summarise(evaluations, BOUNDED)
    assert (
        summary.generation,
        summary.candidates,
        summary.failures,
        summary.best_psnr,
        summary.front_size,
    ) == (3, 4, 1, 42, 2)
    assert summary.hypervolume == pytest.approx(BOUNDED.hypervolume(evaluations))
    at_least_40 = bounded_problem(
        BOUNDED.best, BOUNDED.worst, constraints=Constraints(min_psnr=40.0)
    )
    strict = summarise(evaluations, at_least_40)
    assert (strict.front_size, strict.best_psnr) == (1, 42)
    assert strict.hypervolume == pytest.approx(BOUNDED.hypervolume([evaluations[1]]))
    empty = summarise([], BOUNDED)
    assert (empty.generation, empty.best_psnr, empty.hypervolume, empty.front_size) == (
        -1,
        None,
        0.0,
        0,
    )
