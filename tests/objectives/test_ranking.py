"""Ranks and crowding distances of points, against DEAP and against their definitions."""

from types import SimpleNamespace

import numpy as np
import pytest
from deap import tools
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.objectives.ranking import FloatArray, crowding_distances, dominates, ranks


def points(count: int, objectives: int, seed: int) -> FloatArray:
    """Return points no two of which have the same number."""
    return np.random.default_rng(seed).normal(size=(count, objectives))


def mean_gap(front: FloatArray, row: int) -> float:
    """Return the crowding distance by its definition, where all numbers differ.

    It is the mean over the objectives of the gap between the next worse and the next better number,
    as a share of the front's range; infinite where there is no such number.
    """
    shares = []
    for column in front.T:
        better, worse = column[column < column[row]], column[column > column[row]]
        if not len(better) or not len(worse):
            return np.inf
        shares.append((worse.min() - better.max()) / (column.max() - column.min()))
    return float(np.mean(shares))


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_crowding_distances_equal_their_definition(count: int, objectives: int) -> None:
    front = points(count, objectives, seed=count)
    expected = [mean_gap(front, row) for row in range(count)]
    assert crowding_distances(front) == pytest.approx(expected)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_crowding_distances_equal_those_of_deap(objectives: int) -> None:
    front = np.random.default_rng(1).integers(0, 6, size=(30, objectives)).astype(float)
    individuals = [SimpleNamespace(fitness=SimpleNamespace(values=tuple(row))) for row in front]
    tools.emo.assignCrowdingDist(individuals)
    assert crowding_distances(front).tolist() == [one.fitness.crowding_dist for one in individuals]


def test_crowding_distances_of_equal_points_and_of_none() -> None:
    assert crowding_distances(np.ones((3, 2))).tolist() == [np.inf, 0, np.inf]
    assert crowding_distances(np.empty((0, 2))).tolist() == []


# Few values, so that ties are common.
rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)),
    max_size=25,
)


@given(rows)
def test_ranks_equal_brute_force(rows: list[tuple[int, int, int, int]]) -> None:
    """The last number is the violation: a smaller one dominates a larger one."""

    def better(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        if a[-1] != b[-1]:
            return a[-1] < b[-1]
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    expected: dict[tuple[int, ...], int] = {}
    left = set(rows)
    while left:
        front = {one for one in left if not any(better(other, one) for other in left)}
        rank = max(expected.values(), default=-1) + 1
        expected |= dict.fromkeys(front, rank)
        left -= front
    table = np.array(rows, dtype=float).reshape(-1, 4)
    assert ranks(table[:, :3], table[:, 3]).tolist() == [expected[row] for row in rows]


def test_weak_domination_includes_equal_points() -> None:
    front = np.array([[1.0, 2.0], [2.0, 1.0]])
    found = dominates(front, np.array([[1.0, 2.0], [2.0, 2.0], [0.0, 3.0]]))
    assert found.tolist() == [[True, False], [True, True], [False, False]]
