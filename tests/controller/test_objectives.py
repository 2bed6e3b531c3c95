"""Every controller with other objectives than the paper's, and with limits on their numbers."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Score
from falsr_nas.controller.controller import Controller
from falsr_nas.controller.settings import CONTROLLERS
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.synthetic import share_of_links
from falsr_nas.objectives.objective import LATENCY
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.search_space import SearchSpace
from made_profile import made_profile
from plugin_modules import random_landscape

pytestmark = pytest.mark.usefixtures("controllers_of_plugins")

SPACE = SearchSpace()
PROFILE = made_profile(SPACE)
EVALUATOR = random_landscape(4, noise=0.05, seed=3)
LIMIT = 210.0  # ms: a sixth of uniform draws are faster
TIMED = Problem(
    SPACE, (LATENCY,), Constraints(max_latency_ms=LIMIT, min_psnr=26), (26.0, 36.0), PROFILE
)
QUALITY = Problem(SPACE, costs=(), constraints=Constraints(min_psnr=26))
TINY = SearchSpace(
    n=1, operators=("conv",), channels=(4, 8), kernels=(1, 3), repeats=(1, 2), stems=(8,)
)
ALL = sorted({*CONTROLLERS.schemas, "aging", "optuna", "pymoo"})
EXACT = [name for name in ALL if name != "optuna"]  # whose generators' state cannot be saved


def made(name: str = "random", problem: Problem = TIMED, seed: int = 0) -> Controller:
    if name in ("pymoo", "optuna"):
        pytest.importorskip(name)
    settings = CONTROLLERS.schemas[name](population_size=8)
    return CONTROLLERS.build(settings, problem, np.random.default_rng(seed))


def evaluate(candidates: list[Candidate], measured: bool = False) -> list[Evaluation]:
    """Evaluations, with latencies that the profile predicts too low where links are set."""
    found = []
    for one in candidates:
        score = EVALUATOR.evaluate(one)
        assert isinstance(score, Score)
        latency = PROFILE.latency(one.genome) * math.exp(share_of_links(one.genome) / 2)
        found.append(Evaluation(one, replace(score, latency=latency) if measured else score))
    return found


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("problem", [TIMED, QUALITY], ids=["latency", "psnr alone"])
def test_networks_above_a_limit_are_never_proposed(name: str, problem: Problem) -> None:
    search, keys = made(name, problem), set()
    for _ in range(6):
        candidates = search.ask(8)
        assert len(candidates) == 8
        for one in candidates:
            assert problem is QUALITY or PROFILE.latency(one.genome) <= LIMIT
        keys |= {one.key for one in candidates}
        search.tell(evaluate(candidates))
    assert len(keys) == 48


@pytest.mark.parametrize("name", ["random", "screening"])
def test_a_limit_that_no_uniform_draw_meets_still_gives_different_networks(name: str) -> None:
    limit = 80.0
    rng = np.random.default_rng(0)
    assert min(PROFILE.latency(SPACE.sample(rng)) for _ in range(300)) > limit
    limits = Constraints(max_latency_ms=limit, min_psnr=26)
    found = made(name, Problem(SPACE, constraints=limits, profile=PROFILE)).ask(12)
    assert len(found) == 12
    assert max(PROFILE.latency(one.genome) for one in found) <= limit
    assert len({one.genome.cells for one in found}) == 12


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("in_flight", "measured"), [(0, False), (3, True)])
def test_a_restored_controller_continues_as_the_saved_one(
    name: str, in_flight: int, measured: bool
) -> None:
    saved, told = made(name), []
    for _ in range(7):
        told += evaluate(saved.ask(8), measured)
        saved.tell(told[-8:])
    pending = saved.ask(in_flight)
    restored = made(name, seed=99)
    restored.restore(json.loads(json.dumps(saved.state())), told, pending)
    if pending:
        for search in (saved, restored):
            search.tell(evaluate(pending, measured))
    for _ in range(3):
        candidates = saved.ask(8)
        assert restored.ask(8) == candidates
        for search in (saved, restored):
            search.tell(evaluate(candidates, measured))


def test_what_was_measured_decides_what_is_feasible_and_what_is_proposed() -> None:
    search, told = made("screening"), []
    for _ in range(8):
        told += evaluate(search.ask(8), measured=True)
        search.tell(told[-8:])
    exceeds = [one.score is not None and one.score.latency > LIMIT for one in told]
    assert any(exceeds[:24]), "the profile alone predicts too low"
    assert sum(exceeds[-24:]) < sum(exceeds[:24]), "the prediction has learnt"
    for one, beyond in zip(told, exceeds, strict=True):
        assert (TIMED.violation(one, 99.0) > 0) == beyond
        assert (one in TIMED.feasible(told)) <= (not beyond)
    front = TIMED.front(told)
    assert front
    assert [TIMED.place(one) for one in front] == [one.score.latency for one in front if one.score]


def test_screening_finds_more_than_random_search() -> None:
    volumes = {}
    for name in ("screening", "random"):
        search, told = made(name), []
        for _ in range(10):
            new = evaluate(search.ask(8))
            search.tell(new)
            told += new
        volumes[name] = TIMED.hypervolume(told)
    assert volumes["screening"] > volumes["random"]


def test_the_fast_ones_are_ranked_high() -> None:
    told = evaluate(made().ask(20))
    free = Constraints(max_latency_ms=LIMIT)
    order = replace(TIMED, constraints=free).ranked(told)
    fastest = min(told, key=lambda one: PROFILE.latency(one.candidate.genome))
    best = max(told, key=lambda one: one.score.psnr if one.score else 0)
    assert {fastest.key, best.key} <= {one.key for one in order[:6]}
    quality = Problem(SPACE, costs=())
    alone = quality.ranked(told)
    assert [one.score.psnr for one in alone] == sorted(
        (one.score.psnr for one in told), reverse=True
    )
    assert alone[0] == best


def test_limits_that_no_network_meets_are_refused() -> None:
    for limits, message in (
        (Constraints(max_latency_ms=0.001), "the limit on latency at .* is 0.001 ms"),
        (Constraints(max_params=0.01), "the limit on parameters is 0.01 K, but .* or more"),
        (Constraints(min_mult_adds=9e6), r"the lower limit on .* is 9e\+06 G, but .* or less"),
    ):
        with pytest.raises(UserError, match=message):
            made("random", Problem(SPACE, constraints=limits, profile=PROFILE))


@pytest.mark.parametrize("name", ["random", "screening", "hybrid", "nsga2"])
def test_a_lower_limit_on_mult_adds(name: str) -> None:
    low, high = 30.0, 45.0
    search = made(name, Problem(SPACE, (), Constraints(high, min_psnr=26, min_mult_adds=low)))
    for _ in range(5):
        candidates = search.ask(8)
        assert len(candidates) == 8
        for one in candidates:
            assert low * 1e9 <= one.cost.mult_adds <= high * 1e9
        search.tell(evaluate(candidates))


def test_a_tiny_space_is_exhausted_between_limits() -> None:
    everything = made("random", Problem(TINY)).ask(1000)
    costs = {one.key: one.cost.mult_adds / 1e9 for one in everything}
    low, high = np.quantile(list(costs.values()), [0.3, 0.7])
    limited = Problem(TINY, constraints=Constraints(high, min_mult_adds=low))
    found = made("random", limited).ask(1000)
    assert {one.key for one in found} == {k for k, cost in costs.items() if low <= cost <= high}
    assert 0 < len(found) < len(everything)


def test_a_tiny_space_is_exhausted_under_a_limit() -> None:
    profile = made_profile(TINY)
    everything = made("random", Problem(TINY)).ask(1000)
    latencies = {one.key: profile.latency(one.genome) for one in everything}
    limit = float(np.median(list(latencies.values())))
    limited = Problem(TINY, constraints=Constraints(max_latency_ms=limit), profile=profile)
    found = made("random", limited).ask(1000)
    assert {one.key for one in found} == {k for k, ms in latencies.items() if ms <= limit}
    assert 0 < len(found) < len(everything)
