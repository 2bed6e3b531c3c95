import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.controller.individual import ConstrainedFitness, Individual, select, tournament
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import ControllerSettings, InitialSettings, NSGA2Settings
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.enumeration import affordable_genomes
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

PAPER = SearchSpace()
TINY = SearchSpace(
    n=1, operators=("conv",), channels=(4, 8), kernels=(1, 3), repeats=(1, 2), stems=(8,)
)
EVALUATOR = SyntheticEvaluator(SyntheticSettings(), seed=3)


def evaluate(candidates: list[Candidate]) -> list[Evaluation]:
    return [Evaluation(candidate, EVALUATOR.evaluate(candidate)) for candidate in candidates]


def controller(
    population_size: int = 16, seed: int = 0, space: SearchSpace = PAPER, **constraints: float
) -> NSGA2:
    settings = NSGA2Settings(population_size=population_size)
    problem = Problem(space, constraints=Constraints(**constraints))
    return NSGA2(settings, problem, np.random.default_rng(seed))


def individual(
    psnr: float, mult_adds: int, params: int, min_psnr: float | None = None
) -> Individual:
    candidate = Candidate(
        Genome.parse("conv_f16_k3_b1_noskip"), Cost(params, mult_adds), Origin(("initial",)), 0, 0
    )
    return Individual(
        Evaluation(candidate, Score(255**2 / 10 ** (psnr / 10), psnr, 0.0)),
        Problem(constraints=Constraints(min_psnr=min_psnr)),
    )


def test_no_candidate_twice_and_none_over_the_limit() -> None:
    search, keys = controller(max_mult_adds=50), set()
    for generation in range(12):
        candidates = search.ask(16)
        assert len(candidates) == 16
        assert {candidate.generation for candidate in candidates} == {generation}
        for candidate in candidates:
            assert candidate.key not in keys
            assert candidate.cost == genome_cost(candidate.genome)
            assert candidate.cost.mult_adds <= 50e9
            assert candidate.genome in PAPER
            keys.add(candidate.key)
        search.tell(evaluate(candidates))
    assert [candidate.number for candidate in candidates] == list(range(176, 192))


@pytest.mark.parametrize("limit", [None, 0.5])
def test_a_small_space_is_searched_exhaustively(limit: float | None) -> None:
    wanted = {
        genome.key for genome in affordable_genomes(TINY, None if limit is None else limit * 1e9)
    }
    everything = {genome.key for genome in affordable_genomes(TINY, None)}
    assert wanted
    assert (wanted == everything) == (limit is None)
    search, found = (
        controller(4, space=TINY, **({} if limit is None else {"max_mult_adds": limit})),
        [],
    )
    while candidates := search.ask(4):
        found += [candidate.key for candidate in candidates]
        search.tell(evaluate(candidates))
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_a_restored_controller_continues_as_the_saved_one() -> None:
    saved, told = controller(), []
    for _ in range(4):
        told += evaluate(saved.ask(16))
        saved.tell(told[-16:])
    state = json.loads(json.dumps(saved.state()))
    restored = controller(seed=99)
    restored.restore(state, told)
    for _ in range(3):
        candidates = saved.ask(16)
        assert restored.ask(16) == candidates
        evaluations = evaluate(candidates)
        saved.tell(evaluations)
        restored.tell(evaluations)
    assert json.dumps(restored.state()) == json.dumps(saved.state())


def test_given_networks_come_first_also_after_an_interruption() -> None:
    rng = np.random.default_rng(5)
    given = [PAPER.sample(rng).canonical() for _ in range(5)]
    settings = NSGA2Settings(
        population_size=16, initial=InitialSettings(genomes=tuple(map(str, given)))
    )

    def begun() -> NSGA2:
        return NSGA2(settings, Problem(PAPER), np.random.default_rng(0))

    assert [one.genome for one in begun().ask(16)][:5] == given
    first = begun()
    told = evaluate(first.ask(2))
    first.tell(told)
    resumed = begun()
    resumed.restore(json.loads(json.dumps(first.state())), told)
    assert [one.genome for one in resumed.ask(4)][:3] == given[2:]
    other = replace(settings, initial=InitialSettings(genomes=("conv_f16_k3_b1_noskip",)))
    with pytest.raises(UserError, match="initial.genomes: .*conv_f16.* is not in the search space"):
        NSGA2(other, Problem(PAPER), np.random.default_rng(0))


def test_steady_state_asks_for_one_child_at_a_time() -> None:
    search, keys = controller(8), set()
    for number in range(60):
        (candidate,) = search.ask(1)
        assert candidate.number == number
        keys.add(candidate.key)
        search.tell(evaluate([candidate]))
        assert len(search.population) == min(number + 1, 8)
    assert len(keys) == 60


def test_invalid_limits_are_rejected() -> None:
    with pytest.raises(UserError, match="the lightest network of this space needs"):
        controller(max_mult_adds=0.5)
    with pytest.raises(UserError, match="at least 2"):
        ControllerSettings(population_size=1)
    with pytest.raises(UserError, match="p_crossover is 1.5"):
        NSGA2Settings(p_crossover=1.5)


def test_failures_never_enter_the_population() -> None:
    search = controller(8)
    candidates = search.ask(8)
    failed = [
        Evaluation(candidate, Failure(FailureKind.DIVERGED, "nan")) for candidate in candidates[:5]
    ]
    search.tell(failed + evaluate(candidates[5:]))
    assert {member.evaluation.key for member in search.population} == {
        candidate.key for candidate in candidates[5:]
    }
    assert len(search.ask(8)) == 8


def test_a_generation_without_scores_is_followed_by_another_initial_one() -> None:
    search = controller(8)
    search.tell(
        [Evaluation(candidate, Failure(FailureKind.DIVERGED, "nan")) for candidate in search.ask(8)]
    )
    assert all(candidate.origin.operators == ("initial",) for candidate in search.ask(8))


def test_constrained_domination() -> None:
    good, worse, worst = (individual(psnr, 5, 5, 30).fitness for psnr in (31, 29, 28))
    cheap = individual(28, 1, 1, 30).fitness
    assert good.dominates(worse)
    assert worse.dominates(worst)
    assert worse.dominates(cheap)
    assert not cheap.dominates(good)
    free = [individual(psnr, cost, cost).fitness for psnr, cost in ((28, 1), (31, 5))]
    assert not free[0].dominates(free[1])
    assert not free[1].dominates(free[0])


def dominates(a: ConstrainedFitness, b: ConstrainedFitness) -> bool:
    return all(x <= y for x, y in zip(a.values, b.values, strict=True)) and a.values != b.values


def test_selection_keeps_the_first_front_against_a_plain_reference() -> None:
    rng = np.random.default_rng(5)
    crowd = [
        individual(float(p), int(m), int(q))
        for p, m, q in zip(rng.normal(30, 1, 80), *rng.integers(1, 1000, (2, 80)), strict=True)
    ]
    front = {id(a) for a in crowd if not any(dominates(b.fitness, a.fitness) for b in crowd)}
    chosen = select(crowd, 60)
    assert front <= {id(member) for member in chosen}
    assert {id(member) for member in chosen if member.rank == 0} == front
    for member in chosen:
        better = [other for other in chosen if dominates(other.fitness, member.fitness)]
        assert member.rank == (1 + max(other.rank for other in better) if better else 0)


def test_the_tournament_prefers_rank_then_crowding_distance() -> None:
    a, b, c = individual(30, 1, 1), individual(30, 1, 1), individual(30, 1, 1)
    a.rank, b.rank, c.rank = 0, 0, 1
    a.fitness.crowding_dist, b.fitness.crowding_dist, c.fitness.crowding_dist = 0.1, 2.0, 9.0
    wins = Counter(
        id(tournament([a, b, c], rng)) for rng in [np.random.default_rng(0)] for _ in range(9000)
    )
    # Of nine ordered pairs, b wins all that it is in (5), a those without b (3), c only (c, c).
    for member, share in ((b, 5 / 9), (a, 3 / 9), (c, 1 / 9)):
        assert abs(wins[id(member)] / 9000 - share) < 0.02


def test_every_child_has_its_operators_and_parents() -> None:
    search = controller(32)
    first = search.ask(32)
    search.tell(evaluate(first))
    keys = {candidate.key for candidate in first}
    for candidate in search.ask(32):
        *crossed, last = candidate.origin.operators
        assert crossed in ([], ["crossover"])
        assert last in ("crossover", "random", "roulette_flops", "roulette_params")
        assert len(candidate.origin.parents) == (
            2 if "crossover" in candidate.origin.operators else 1
        )
        assert set(candidate.origin.parents) <= keys


def test_truncation_of_few() -> None:
    for crowd in ([], [individual(30, 1, 1)], [individual(30, 1, 1), individual(29, 2, 2)]):
        assert {id(one) for one in select(crowd, 2)} == {id(one) for one in crowd}
