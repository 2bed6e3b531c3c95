import numpy as np

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.problem import Problem
from falsr_nas.search.halving import goes_on, survivors
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace

SPACE = SearchSpace()
PROBLEM = Problem(SPACE)


def evaluations(count: int, seed: int) -> list[Evaluation]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        genome, psnr = SPACE.sample(rng), float(rng.uniform(28, 32))
        candidate = Candidate(genome, genome_cost(genome), Origin(("sampled",)), 0, number)
        found.append(Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0)))
    return found


def test_survivors_are_the_best_in_the_given_order() -> None:
    given = evaluations(16, 2)
    chosen = survivors(given, 8, PROBLEM)
    assert [one for one in given if one in chosen] == chosen
    assert {one.key for one in chosen} == {one.key for one in PROBLEM.ranked(given)[:8]}
    assert survivors(given[:3], 8, PROBLEM) == given[:3]


def test_without_waiting_the_first_goes_on_and_later_ones_only_if_they_are_good() -> None:
    given = evaluations(30, 4)
    went_on = [goes_on(one, given[: i + 1], 0.5, PROBLEM) for i, one in enumerate(given)]
    assert went_on[0]
    assert 0 < sum(went_on) < len(given)
    order = PROBLEM.ranked(given)
    assert goes_on(order[14], given, 0.5, PROBLEM)
    assert not goes_on(order[15], given, 0.5, PROBLEM)
