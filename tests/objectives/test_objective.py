"""Objectives, and fronts, hypervolumes and picks in others than the paper's."""

import itertools
from dataclasses import replace

import moocore
import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.controller.individual import ConstrainedFitness
from falsr_nas.controller.settings import Constraints
from falsr_nas.core.errors import UserError
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.front import (
    ObjectiveScale,
    hypervolume,
    objective_matrix,
    pareto_front,
    value_range,
)
from falsr_nas.objectives.objective import (
    LATENCY,
    MULT_ADDS,
    OBJECTIVES,
    PAPER_OBJECTIVES,
    PARAMS,
    PSNR,
    Objective,
    ObjectiveRegistry,
    Objectives,
    check_names,
    objectives_of,
)
from falsr_nas.objectives.selection import select
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from made_profile import made_profile

SPACE = SearchSpace(n=3)
PROFILE = made_profile(SPACE)
LINKS = Objective(
    "links",
    "links",
    "links",
    "",
    lambda genome, _: sum(map(len, genome.links)),
    maximised=True,
    logarithmic=False,
    digits=0,
)
TIMED = objectives_of({"objectives": ["psnr", "latency"]}, PROFILE)
QUALITY = Objectives(())
FOUR = Objectives((*TIMED.costs, PARAMS, LINKS))
ALL = pytest.mark.parametrize(
    "objectives", [QUALITY, TIMED, PAPER_OBJECTIVES, FOUR], ids=["1", "2", "3", "4"]
)


def made(count: int, seed: int = 0) -> list[Evaluation]:
    """Return evaluations with few different PSNR, so that ties are common."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        genome = SPACE.sample(rng).canonical()
        psnr = float(rng.integers(28, 33))
        candidate = Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)
        found.append(Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0)))
    return found


def values(one: Evaluation, objectives: Objectives) -> list[float]:
    """Return what is maximised, without the code under test."""
    genome, cost = one.candidate.genome, one.candidate.cost
    number = {
        "mult_adds": -cost.mult_adds,
        "params": -cost.params,
        "latency": -PROFILE.latency(genome),
        "links": sum(len(nodes) for nodes in genome.links),
    }
    assert one.score is not None
    return [one.score.psnr, *(number[cost.name] for cost in objectives.costs)]


@ALL
def test_front_equals_brute_force(objectives: Objectives) -> None:
    evaluations = made(80)
    rows = np.array([values(one, objectives) for one in evaluations])
    best = {
        tuple(row)
        for row in rows
        if not any((other >= row).all() and (other > row).any() for other in rows)
    }
    front = pareto_front(evaluations, objectives=objectives)
    assert {tuple(values(one, objectives)) for one in front} == best
    assert len(front) == len(best), "of equal networks the front has one"
    first = [objectives.place(one) for one in front]
    assert first == sorted(first)
    backwards = pareto_front(evaluations[::-1], objectives=objectives)
    assert [one.key for one in backwards] == [one.key for one in front]


@ALL
def test_hypervolume_equals_a_count_of_points(objectives: Objectives) -> None:
    evaluations = made(40)
    scale = ObjectiveScale.of_space(SPACE, None, (25.0, 35.0), objectives)
    unit = scale.unit(objective_matrix(evaluations, objectives))
    assert ((unit >= 0) & (unit <= 1)).all()
    shots = np.random.default_rng(1).random((40_000, len(objectives.chosen)))
    share = np.mean((unit[None] <= shots[:, None]).all(axis=2).any(axis=1))
    assert hypervolume(evaluations, scale) == pytest.approx(share, abs=0.012)
    front = pareto_front(evaluations, objectives=objectives)
    assert hypervolume(front, scale) == pytest.approx(hypervolume(evaluations, scale))


@ALL
def test_order_is_the_same_wherever_networks_are_compared(objectives: Objectives) -> None:
    """Points, coordinates, the unit cube and fitness: each dominates where the others do."""
    evaluations = made(30)
    raw = objective_matrix(evaluations, objectives)
    points = np.array([objectives.point(one) for one in evaluations])
    psnr = np.array([one.score.psnr for one in evaluations if one.score])
    networks = (
        [one.candidate.genome for one in evaluations],
        [one.candidate.cost for one in evaluations],
    )
    assert np.allclose(points, objectives.coordinates(psnr, *networks))
    unit = ObjectiveScale.of_space(SPACE, None, (20.0, 40.0), objectives).unit(raw)
    fitness = [ConstrainedFitness(one, Constraints(), objectives) for one in evaluations]
    for a, b in itertools.permutations(range(30), 2):
        dominated = bool((raw[a] <= raw[b]).all() and (raw[a] < raw[b]).any())
        assert fitness[a].dominates(fitness[b]) == dominated
        assert dominated == bool((points[a] <= points[b]).all() and (points[a] < points[b]).any())
        if dominated:
            assert (unit[a] <= unit[b]).all()
    assert (moocore.pareto_rank(points) == moocore.pareto_rank(raw)).all()


def test_names_are_checked_and_psnr_comes_first() -> None:
    assert check_names(["latency", "psnr"]) == ("psnr", "latency")
    assert check_names(["psnr"]) == ("psnr",)
    for names, message in (
        ([], "psnr must be one of them"),
        (["latency"], "psnr must be one of them"),
        (["psnr", "latency", "latency"], "each can be given once"),
        (["psnr", "flops"], "there is no 'flops': choose of psnr, mult_adds, params, latency"),
    ):
        with pytest.raises(UserError, match=message):
            check_names(names)


def test_a_plug_in_registers_an_objective() -> None:
    registry = ObjectiveRegistry((PSNR, MULT_ADDS))
    assert registry.register(LINKS) is registry["links"]
    assert list(registry) == ["psnr", "mult_adds", "links"]
    with pytest.raises(ValueError, match="registered already"):
        registry.register(replace(LINKS))


def test_objectives_of_earlier_searches_are_the_papers() -> None:
    assert objectives_of({}) == PAPER_OBJECTIVES == Objectives()
    assert objectives_of({"objectives": ["psnr", "params", "mult_adds"]}).costs == (
        PARAMS,
        MULT_ADDS,
    )


def test_latency_needs_a_profile() -> None:
    for settings in ({"objectives": ["psnr", "latency"]}, {"constraints.max_latency_ms": 9}):
        with pytest.raises(UserError, match="give latency=device.json"):
            objectives_of(settings)
    genome = made(1)[0].candidate.genome
    assert TIMED.costs[0].measure(genome, genome_cost(genome)) == PROFILE.latency(genome)
    assert TIMED.costs[0].name == LATENCY.name == OBJECTIVES["latency"].name


def test_limits_are_in_the_units_of_tables() -> None:
    settings = {"constraints.max_params": 50, "constraints.max_latency_ms": 7.5}
    limited = objectives_of(settings, PROFILE)
    for one in made(40):
        genome, cost = one.candidate.genome, one.candidate.cost
        within = cost.params <= 50_000 and PROFILE.latency(genome) <= 7.5
        assert limited.affordable(genome, cost) == within
    assert [one.name for one in limited.shown] == ["mult_adds", "params", "latency"]
    assert [one.name for one in limited.added] == ["latency"]
    assert [one.name for one in TIMED.shown] == ["latency", "mult_adds", "params"]
    _, mult_adds, params = ObjectiveScale.of_space(SPACE, objectives=limited).worst
    assert params == 50_000
    assert mult_adds == ObjectiveScale.of_space(SPACE).worst[1]


def test_a_scale_begins_at_the_lower_limit() -> None:
    floored = objectives_of({"constraints.min_mult_adds": 30})
    scale, whole = (ObjectiveScale.of_space(SPACE, objectives=o) for o in (floored, Objectives()))
    assert scale.best[1] == 30e9
    assert (scale.worst, scale.best[2]) == (whole.worst, whole.best[2])


def test_a_scale_reaches_to_the_limit_of_latency() -> None:
    low, high = value_range(TIMED.costs[0], SPACE)
    whole = ObjectiveScale.of_space(SPACE, objectives=TIMED)
    assert (whole.best[1], whole.worst[1]) == (low, high)
    limit = (low + high) / 2
    limited = replace(TIMED, limits=((TIMED.costs[0], limit),))
    assert ObjectiveScale.of_space(SPACE, objectives=limited).worst[1] == limit


def test_numbers_that_have_no_logarithm_are_refused() -> None:
    with pytest.raises(UserError, match="objective links must be positive and finite: 0"):
        value_range(replace(LINKS, logarithmic=True), SPACE)
    with pytest.raises(UserError, match="must be finite"):
        value_range(replace(LINKS, measure=lambda *_: float("nan")), SPACE)


def test_picks_follow_the_objectives() -> None:
    evaluations = made(60)
    front = pareto_front(evaluations, objectives=TIMED)
    fastest = select(evaluations, "latency", 2, objectives=TIMED)
    assert fastest == front[:2]
    assert select(evaluations, "latency", 1, 31.0, TIMED) == [
        min(
            (one for one in evaluations if one.score and one.score.psnr >= 31),
            key=lambda one: PROFILE.latency(one.candidate.genome),
        )
    ]
    ends = select(evaluations, "crowding", 2, objectives=TIMED)
    assert ends == [front[0], front[-1]]
    knee = select(evaluations, "knee", 1, objectives=TIMED)
    assert knee[0] in front
    most = select(evaluations, "links", 1, objectives=FOUR)[0]
    assert sum(map(len, most.candidate.genome.links)) == max(
        sum(map(len, one.candidate.genome.links))
        for one in pareto_front(evaluations, objectives=FOUR)
    )
    with pytest.raises(UserError, match=r"choose one of crowding, knee, psnr, key=KEY, latency"):
        select(evaluations, "params", 1, objectives=TIMED)
