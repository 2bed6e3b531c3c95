from dataclasses import replace

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.core.errors import UserError
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.objective import LATENCY
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.selection import quality_front, select
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.search_space import SearchSpace
from made_problem import LINKS
from made_profile import made_profile


def evaluations(points: list[tuple[float, float]]) -> list[Evaluation]:
    """Evaluations of (PSNR in dB, G mult-adds); parameters ascend with mult-adds."""
    rng, space, found = np.random.default_rng(4), SearchSpace(), []
    for number, (psnr, giga) in enumerate(points):
        cost = Cost(int(giga * 1000), int(giga * 1e9))
        candidate = Candidate(space.sample(rng), cost, Origin(("sampled",)), 0, number)
        found.append(Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0)))
    return found


PAPER = Problem()
FRONT = [(28.0, 1.0), (29.0, 2.0), (29.1, 4.0), (29.2, 8.0), (30.0, 16.0)]
DOMINATED = [(27.0, 1.5), (29.0, 9.0), (28.9, 16.0)]


def at_least(psnr: float) -> Problem:
    return Problem(constraints=Constraints(min_psnr=psnr))


def giga(chosen: list[Evaluation]) -> list[float]:
    return [one.candidate.cost.mult_adds / 1e9 for one in chosen]


def test_the_front_in_mse_and_mult_adds() -> None:
    assert giga(quality_front(evaluations(FRONT[::-1] + DOMINATED), PAPER)) == [
        1.0,
        2.0,
        4.0,
        8.0,
        16.0,
    ]


def test_crowding_selects_the_ends_then_the_largest_distances() -> None:
    assert giga(select(evaluations(FRONT + DOMINATED), "crowding", 3, PAPER)) == [1.0, 2.0, 16.0]
    assert giga(select(evaluations(FRONT), "crowding", 99, PAPER)) == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_knee_selects_the_network_furthest_above_the_line() -> None:
    assert giga(select(evaluations(FRONT + DOMINATED), "knee", 1, PAPER)) == [2.0]


def test_psnr_selects_the_highest() -> None:
    assert giga(select(evaluations(FRONT + DOMINATED), "psnr", 2, PAPER)) == [8.0, 16.0]


def test_spread_selects_the_best_of_each_interval_of_the_cost() -> None:
    found = evaluations(FRONT + DOMINATED)
    assert giga(select(found, "spread", 1, PAPER)) == [16.0]
    assert giga(select(found, "spread", 2, PAPER)) == [2.0, 16.0]  # below 4 G and from there
    assert giga(select(found, "spread", 4, PAPER)) == [1.0, 2.0, 4.0, 16.0]
    many = giga(select(found, "spread", 99, PAPER))
    assert many == [1.0, 1.5, 2.0, 4.0, 8.0, 9.0, 16.0], "dominated ones where nothing else is"


def test_a_key_can_be_shortened_but_must_be_unique() -> None:
    all_of_them = evaluations(FRONT + DOMINATED)
    wanted = all_of_them[6]
    assert select(all_of_them, f"key={wanted.key[:12]}", 1, PAPER) == [wanted]
    with pytest.raises(UserError, match="no network of the search has a key that begins with it"):
        select(all_of_them, "key=nothing", 1, PAPER)
    with pytest.raises(UserError, match=r"networks match; give more of the key"):
        letters = [one.key[0] for one in all_of_them]
        select(all_of_them, f"key={max(letters, key=letters.count)}", 1, PAPER)


def test_fronts_with_one_network_and_with_none() -> None:
    one = evaluations(FRONT[:1])
    assert select(one, "crowding", 4, PAPER) == select(one, "knee", 4, PAPER) == one
    failed = [Evaluation(one[0].candidate, Failure(FailureKind.DIVERGED, "no number"))]
    with pytest.raises(UserError, match="no scored network"):
        select(failed, "crowding", 4, PAPER)


def test_an_unknown_way_is_rejected_and_named() -> None:
    with pytest.raises(
        UserError, match="select is 'best': choose one of crowding, knee, psnr, spread, key=KEY"
    ):
        select(evaluations(FRONT), "best", 1, PAPER)


@pytest.mark.parametrize("way", ["crowding", "knee", "psnr", "spread"])
def test_only_feasible_networks_are_selected(way: str) -> None:
    points = [(27.7, 1.0), (29.1, 2.0), (30.1, 4.0), (30.6, 8.0), (31.0, 16.0)]
    chosen = select(evaluations(points), way, 4, at_least(30.0))
    assert giga(chosen) == [4.0, 8.0, 16.0]
    with pytest.raises(UserError, match=r"no network .* reaches its constraints.min_psnr of 35 dB"):
        select(evaluations(points), way, 4, at_least(35.0))


def test_a_key_selects_an_infeasible_network_too() -> None:
    found = evaluations(FRONT)
    assert select(found, f"key={found[0].key}", 1, at_least(50.0)) == [found[0]]


def test_picks_follow_the_objectives() -> None:
    space = SearchSpace(n=3)
    profile, rng, found = made_profile(space), np.random.default_rng(0), []
    for number in range(60):
        genome, psnr = space.sample(rng).canonical(), float(rng.integers(28, 33))
        candidate = Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)
        found.append(Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0)))

    def latency(one: Evaluation) -> float:
        return profile.latency(one.candidate.genome)

    def links(one: Evaluation) -> int:
        return sum(map(len, one.candidate.genome.links))

    timed = Problem(space, (LATENCY,), profile=profile)
    front = timed.front(found)
    assert select(found, "latency", 2, timed) == front[:2]
    limited = replace(timed, constraints=Constraints(min_psnr=31.0))
    good = [one for one in found if one.score and one.score.psnr >= 31]
    assert select(found, "latency", 1, limited) == [min(good, key=latency)]
    assert select(found, "crowding", 2, timed) == [front[0], front[-1]]
    assert select(found, "knee", 1, timed)[0] in front
    more = replace(timed, costs=(*timed.costs, LINKS))
    assert links(select(found, "links", 1, more)[0]) == max(map(links, more.front(found)))
    with pytest.raises(
        UserError, match=r"choose one of crowding, knee, psnr, spread, key=KEY, latency"
    ):
        select(found, "params", 1, timed)
