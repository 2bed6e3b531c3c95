"""Screening: what is picked, what it says of itself, and that it pays."""

import itertools

import moocore
import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.screening import FEWEST, MOST, Screening
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.core.errors import UserError
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from plugin_modules import random_landscape

SPACE = SearchSpace()
PROBLEM = Problem(SPACE, psnr_range=(26.0, 36.0))
EVALUATOR = random_landscape(7, noise=0.3, seed=1)


def candidates(count: int, seed: int = 0) -> list[Candidate]:
    rng = np.random.default_rng(seed)
    genomes = [SPACE.sample(rng).canonical() for _ in range(count)]
    return [
        Candidate(one, genome_cost(one), Origin(("sampled",)), 0, i)
        for i, one in enumerate(genomes)
    ]


def scored(count: int, seed: int = 0) -> list[Evaluation]:
    return [Evaluation(one, EVALUATOR.evaluate(one)) for one in candidates(count, seed)]


def controller(screening: int, seed: int = 1, population_size: int = 32) -> NSGA2:
    settings = NSGA2Settings(population_size=population_size, screening=screening)
    return NSGA2(settings, PROBLEM, np.random.default_rng(seed))


def with_truth(evaluations: list[Evaluation]) -> list[Evaluation]:
    psnr = [EVALUATOR.psnr(one.candidate.genome) for one in evaluations]
    return [
        Evaluation(one.candidate, Score(mse_from_psnr(p), p, 0.0))
        for one, p in zip(evaluations, psnr, strict=True)
    ]


def true_hypervolume(settings: NSGA2, generations: int) -> float:
    told: list[Evaluation] = []
    for _ in range(generations):
        new = [Evaluation(one, EVALUATOR.evaluate(one)) for one in settings.ask(32)]
        settings.tell(new)
        told += new
    return PROBLEM.hypervolume(with_truth(PROBLEM.front(told)))


def test_screening_finds_better_networks_with_as_many_evaluations() -> None:
    plain, screened = (
        [true_hypervolume(controller(count, seed), 8) for seed in (1, 2)] for count in (1, 8)
    )
    assert min(screened) > max(plain)


def test_no_more_networks_are_evaluated_than_asked_for_and_each_has_a_prediction() -> None:
    search = controller(6)
    for generation in range(4):
        asked = search.ask(32)
        assert len(asked) == len({one.key for one in asked}) == 32
        assert [one.number for one in asked] == list(range(32 * generation, 32 * generation + 32))
        assert len(search.screening._expected) == (32 if generation else 0)
        search.tell([Evaluation(one, EVALUATOR.evaluate(one)) for one in asked])
        assert not search.screening._expected


def test_the_first_pick_has_the_largest_expected_gain_and_the_next_differs() -> None:
    screening = Screening(PROBLEM, 32)
    screening.learn(scored(60))
    pool = candidates(40, seed=5)
    genomes, costs = [one.genome for one in pool], [one.cost for one in pool]
    picked = screening.pick(pool, 12)
    assert len(set(picked)) == 12
    # Copies of a picked network gain less than it did, and come later than without it.
    first = picked[0]
    again = screening.pick([*pool, pool[first]], 12)
    assert again[1] not in (first, len(genomes))
    mean, deviation = screening.surrogate.predict(genomes, costs)
    told = screening.denoised(screening._fitted)
    front = objectives(told, [one.candidate.cost for one in screening._fitted])
    worst = np.vstack([front, objectives(mean, costs)]).max(axis=0) + 1e-6
    best = front[moocore.is_nondominated(front)]
    worst[0] = best[:, 0].max() + 0.1 * np.ptp(best[:, 0])

    def volume(points: np.ndarray) -> float:
        return moocore.hypervolume(np.minimum(points, worst), ref=worst)

    draws = np.random.default_rng(0).normal(size=4000)
    gains = []
    for i, cost in enumerate(costs):
        rows = objectives(mean[i] + deviation[i] * draws[:400], [cost] * 400)
        gains.append(np.mean([volume(np.vstack([best, row])) for row in rows]) - volume(best))
    assert gains[picked[0]] > 0.9 * max(gains)


def objectives(psnr: np.ndarray, costs: list[Cost]) -> np.ndarray:
    return np.column_stack([-psnr, np.log([(one.mult_adds, one.params) for one in costs])])


def test_networks_below_the_minimum_psnr_are_not_picked_first() -> None:
    told = scored(80)
    limit = float(np.median([one.score.psnr for one in told]))
    screening = Screening(Problem(SPACE, constraints=Constraints(min_psnr=limit)), 32)
    screening.learn(told)
    pool = candidates(60, seed=6)
    genomes, costs = [one.genome for one in pool], [one.cost for one in pool]
    mean, deviation = screening.surrogate.predict(genomes, costs)
    picked = screening.pick(pool, 5)
    assert ((mean + np.sqrt(3) * deviation)[picked] > limit).all()
    assert (mean[picked] > limit).mean() > (mean > limit).mean()


def test_few_scores_have_no_surrogate() -> None:
    screening = Screening(PROBLEM, 32)
    told = scored(FEWEST)
    screening.learn(told[:-1])
    assert screening.surrogate is None
    assert screening.denoised(told[:3]).tolist() == [one.score.psnr for one in told[:3]]
    screening.learn(told[-1:])
    assert screening.surrogate is not None


def test_the_order_in_which_evaluations_end_does_not_matter() -> None:
    told, pool = scored(50), candidates(5, seed=9)
    surrogates = []
    for order in (told, told[::-1]):
        screening = Screening(PROBLEM, 200)
        screening.learn(told[:FEWEST])
        for one in (one for one in order if one.candidate.number >= FEWEST):
            screening.learn([one])
        surrogates.append(screening.surrogate)
    genomes, costs = [one.genome for one in pool], [one.cost for one in pool]
    first, second = (one.predict(genomes, costs)[0].tolist() for one in surrogates)
    assert first == second


def test_a_large_archive_is_sketched() -> None:
    rng = np.random.default_rng(1)
    bits = itertools.product((0, 1), repeat=11)
    genomes = [
        SPACE.genome([SPACE.cells[i] for i in rng.integers(192, size=7)], [*row, *[0] * 17])
        for row in itertools.islice(bits, MOST + 200)
    ]
    told = [evaluation(genome, i) for i, genome in enumerate(genomes)]
    screening = Screening(PROBLEM, 10_000)
    screening.learn(told)
    numbers = [one.candidate.number for one in screening._fitted]
    assert len(numbers) == MOST
    assert numbers == sorted(set(numbers))
    assert numbers[-MOST // 2 :] == list(range(MOST + 200 - MOST // 2, MOST + 200))
    assert len(screening.denoised(told)) == MOST + 200


def evaluation(genome: Genome, number: int) -> Evaluation:
    one = Candidate(genome, genome_cost(genome), Origin(("sampled",)), 0, number)
    return Evaluation(one, EVALUATOR.evaluate(one))


def test_a_number_below_one_is_rejected() -> None:
    with pytest.raises(UserError, match=r"controller.screening is 0"):
        NSGA2Settings(screening=0)
