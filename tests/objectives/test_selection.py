import math

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.selection import crowding_distances, quality_front, select
from falsr_nas.space.cost import Cost
from falsr_nas.space.search_space import SearchSpace


def evaluations(points: list[tuple[float, float]]) -> list[Evaluation]:
    """Evaluations of (PSNR in dB, G mult-adds); parameters ascend with mult-adds."""
    rng, space, found = np.random.default_rng(4), SearchSpace(), []
    for number, (psnr, giga) in enumerate(points):
        cost = Cost(int(giga * 1000), int(giga * 1e9))
        candidate = Candidate(space.sample(rng), cost, Origin(("sampled",)), 0, number)
        found.append(Evaluation(candidate, Score(255**2 / 10 ** (psnr / 10), psnr, 1.0)))
    return found


FRONT = [(28.0, 1.0), (29.0, 2.0), (29.1, 4.0), (29.2, 8.0), (30.0, 16.0)]
DOMINATED = [(27.0, 1.5), (29.0, 9.0), (28.9, 16.0)]


def giga(chosen: list[Evaluation]) -> list[float]:
    return [one.candidate.cost.mult_adds / 1e9 for one in chosen]


def test_the_front_in_mse_and_mult_adds() -> None:
    assert giga(quality_front(evaluations(FRONT[::-1] + DOMINATED))) == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_crowding_distances_equal_those_of_deap() -> None:
    from deap import base, tools

    class Fitness(base.Fitness):
        weights = (-1.0, -1.0)

    class Individual:
        def __init__(self, psnr: float, giga: float) -> None:
            self.fitness = Fitness((-psnr, math.log(giga)))

    individuals = [Individual(*point) for point in FRONT]
    tools.emo.assignCrowdingDist(individuals)
    # DEAP divides by the number of objectives.
    reference = [2 * individual.fitness.crowding_dist for individual in individuals]
    assert crowding_distances(evaluations(FRONT)) == pytest.approx(reference)


def test_crowding_selects_the_ends_then_the_largest_distances() -> None:
    assert giga(select(evaluations(FRONT + DOMINATED), "crowding", 3)) == [1.0, 2.0, 16.0]
    assert giga(select(evaluations(FRONT), "crowding", 99)) == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_knee_selects_the_network_furthest_above_the_line() -> None:
    assert giga(select(evaluations(FRONT + DOMINATED), "knee", 1)) == [2.0]


def test_psnr_selects_the_highest() -> None:
    assert giga(select(evaluations(FRONT + DOMINATED), "psnr", 2)) == [8.0, 16.0]


def test_a_key_can_be_shortened_but_must_be_unique() -> None:
    all_of_them = evaluations(FRONT + DOMINATED)
    wanted = all_of_them[6]
    assert select(all_of_them, f"key={wanted.key[:12]}", 1) == [wanted]
    with pytest.raises(UserError, match="no network of the search has a key that begins with it"):
        select(all_of_them, "key=nothing", 1)
    with pytest.raises(UserError, match=r"networks match; give more of the key"):
        letters = [one.key[0] for one in all_of_them]
        select(all_of_them, f"key={max(letters, key=letters.count)}", 1)


def test_fronts_with_one_network_and_with_none() -> None:
    one = evaluations(FRONT[:1])
    assert select(one, "crowding", 4) == select(one, "knee", 4) == one
    failed = [Evaluation(one[0].candidate, Failure(FailureKind.DIVERGED, "no number"))]
    with pytest.raises(UserError, match="no scored network"):
        select(failed, "crowding", 4)


def test_an_unknown_way_is_rejected_and_named() -> None:
    with pytest.raises(
        UserError, match="select is 'best': choose one of crowding, knee, psnr, key=KEY"
    ):
        select(evaluations(FRONT), "best", 1)


@pytest.mark.parametrize("way", ["crowding", "knee", "psnr"])
def test_only_feasible_networks_are_selected(way: str) -> None:
    limit, points = 30.0, [(27.7, 1.0), (29.1, 2.0), (30.1, 4.0), (30.6, 8.0), (31.0, 16.0)]
    chosen = select(evaluations(points), way, 4, limit)
    assert giga(chosen) == [4.0, 8.0, 16.0]
    with pytest.raises(UserError, match=r"no network .* reaches its constraints.min_psnr of 35 dB"):
        select(evaluations(points), way, 4, 35.0)


def test_a_key_selects_an_infeasible_network_too() -> None:
    found = evaluations(FRONT)
    assert select(found, f"key={found[0].key}", 1, 50.0) == [found[0]]
