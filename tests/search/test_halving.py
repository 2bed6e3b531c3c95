import numpy as np
import pytest
from deap import tools

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.controller.individual import Individual, assess
from falsr_nas.controller.settings import Constraints
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.ranking import crowding_distances, goes_on, ranked, survivors
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace

SPACE = SearchSpace()
FREE = Constraints(max_mult_adds=None)


def evaluations(count: int, seed: int) -> list[Evaluation]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        genome, psnr = SPACE.sample(rng), float(rng.uniform(28, 32))
        candidate = Candidate(genome, genome_cost(genome), Origin(("sampled",)), 0, number)
        found.append(Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0)))
    return found


def preference(population: list[Individual]) -> dict[str, tuple[int, float]]:
    assess(population)
    return {one.evaluation.key: one.preference for one in population}


@pytest.mark.parametrize("min_psnr", [None, 29.0, 31.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_that_of_nsga2(seed: int, min_psnr: float | None) -> None:
    """DEAP's sorting, under constrained domination, is the reference."""
    constraints = Constraints(max_mult_adds=None, min_psnr=min_psnr)
    given = evaluations(40, seed)
    reference = preference([Individual(one, constraints) for one in given])
    order = [reference[one.key][0] for one in ranked(given, constraints)]
    assert order == sorted(order)
    for rank in set(order):
        distances = [
            -reference[one.key][1]
            for one in ranked(given, constraints)
            if reference[one.key][0] == rank
        ]
        assert np.allclose(distances, sorted(distances, reverse=True))


def test_crowding_distances_are_deaps() -> None:
    given = [Individual(one, FREE) for one in evaluations(30, 3)]
    front = tools.sortNondominated(given, len(given))[0]
    tools.emo.assignCrowdingDist(front)
    points = -np.array([one.fitness.wvalues for one in front])
    expected = [one.fitness.crowding_dist * 3 for one in front]  # DEAP's is a mean
    assert np.allclose(crowding_distances(points), expected)
    assert crowding_distances(points[:1]) == [np.inf]
    assert list(crowding_distances(np.ones((3, 2)))) == [np.inf, 0, np.inf]


def test_the_order_of_the_input_has_no_effect() -> None:
    given = evaluations(30, 1)
    assert ranked(given, FREE) == ranked(given[::-1], FREE)


def test_survivors_are_the_best_in_the_given_order() -> None:
    given = evaluations(16, 2)
    chosen = survivors(given, 8, FREE)
    assert [one for one in given if one in chosen] == chosen
    assert {one.key for one in chosen} == {one.key for one in ranked(given, FREE)[:8]}
    assert survivors(given[:3], 8, FREE) == given[:3]


def test_without_waiting_the_first_goes_on_and_later_ones_only_if_they_are_good() -> None:
    given = evaluations(30, 4)
    went_on = [goes_on(one, given[: i + 1], 0.5, FREE) for i, one in enumerate(given)]
    assert went_on[0]
    assert 0 < sum(went_on) < len(given)
    order = ranked(given, FREE)
    assert goes_on(order[14], given, 0.5, FREE)
    assert not goes_on(order[15], given, 0.5, FREE)
