from dataclasses import replace

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Origin
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator, synthetic_psnr
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

SPACE = SearchSpace()


def candidate(genome: Genome) -> Candidate:
    return Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, 0)


def test_scores_are_fixed_by_seed_and_genome() -> None:
    genome = SPACE.sample(np.random.default_rng(0))
    one, again, other = (
        SyntheticEvaluator(SyntheticSettings(), seed).evaluate(candidate(genome)).psnr
        for seed in (1, 1, 2)
    )
    assert one == again != other


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    rng = np.random.default_rng(1)
    genomes = [SPACE.sample(rng) for _ in range(800)]
    evaluator = SyntheticEvaluator(SyntheticSettings(noise=0.2), seed=1)
    noise = [
        evaluator.evaluate(candidate(genome)).psnr - synthetic_psnr(genome) for genome in genomes
    ]
    assert np.std(noise) == pytest.approx(0.2, rel=0.1)
    assert abs(np.mean(noise)) < 0.03


def test_the_landscape_is_in_its_range_and_blind_to_spelling() -> None:
    rng = np.random.default_rng(2)
    for genome in (SPACE.sample(rng) for _ in range(300)):
        assert 23 < synthetic_psnr(genome) < 37
        assert synthetic_psnr(genome) == synthetic_psnr(genome.canonical())


def test_dense_links_are_not_best_and_neighbours_matter() -> None:
    chain = SPACE.genome([SPACE.cells[i] for i in range(7)], [0] * 28)
    some, dense = (
        replace(chain, links=SPACE.genome(chain.cells, bits).links)
        for bits in ([1] * 11 + [0] * 17, [1] * 28)
    )
    assert synthetic_psnr(some) > synthetic_psnr(chain)
    params = np.array([genome_cost(genome).params for genome in (some, dense)])
    capacity = 0.9 * np.diff(np.log1p(params / 20_000))[0]
    assert synthetic_psnr(dense) - capacity < synthetic_psnr(some)
