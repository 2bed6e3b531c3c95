"""The surrogate against an independent reference, and on landscapes whose truth is known."""

import numpy as np
import pytest

from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.surrogate.gaussian_process import (
    BLOCKS,
    Features,
    Surrogate,
    Variances,
    fit,
    fitted_variances,
)
from plugin_modules import random_landscape

SPACE = SearchSpace()
RNG = np.random.default_rng(0)
GENOMES = [SPACE.sample(RNG) for _ in range(500)]
COSTS = [genome_cost(genome) for genome in GENOMES]
LANDSCAPE = random_landscape(0, noise=0.0, seed=0)
TRUTH = np.array([LANDSCAPE.psnr(genome) for genome in GENOMES])
NOISE = RNG.normal(scale=0.3, size=len(GENOMES))


def covariance(variances: Variances, known: int, count: int) -> np.ndarray:
    """Prior covariances of the first networks, with the features that the known ones define."""
    features = Features(GENOMES[:known], COSTS[:known])
    blocks = features.of(GENOMES[:count], COSTS[:count])
    parts = [block @ block.T for block in blocks[:-1]]
    whole = blocks[-1]
    parts.append(np.exp(-((whole[:, None] - whole) ** 2).sum(axis=2) / 2))
    pairs = zip(variances.blocks, parts, strict=True)
    return 1 + np.sum([variance * part for variance, part in pairs], axis=0)


def fitted(count: int = 200) -> Surrogate:
    return fit(GENOMES[:count], COSTS[:count], (TRUTH + NOISE)[:count])


def test_it_predicts_better_than_costs_with_honest_deviations() -> None:
    mean, deviation = fitted(300).predict(GENOMES[300:], COSTS[300:])
    error = mean - TRUTH[300:]
    logs = np.log([(cost.params, cost.mult_adds) for cost in COSTS])
    terms = np.column_stack([np.ones(len(logs)), logs, logs**2])
    weights, *_ = np.linalg.lstsq(terms[:300], (TRUTH + NOISE)[:300], rcond=None)
    assert error.std() < 0.8 * (terms[300:] @ weights - TRUTH[300:]).std()
    assert 0.7 < np.sqrt(((error / deviation) ** 2).mean()) < 1.4


def test_it_finds_the_noise_and_removes_some_of_it() -> None:
    surrogate = fitted()
    assert surrogate.noise == pytest.approx(0.3, abs=0.12)
    assert (surrogate.denoised - TRUTH[:200]).std() < 0.92 * NOISE[:200].std()


def test_scores_without_noise_are_kept() -> None:
    surrogate = fit(GENOMES[:60], COSTS[:60], TRUTH[:60], Variances(noise=1e-8))
    assert surrogate.denoised == pytest.approx(TRUTH[:60], abs=1e-4)
    mean, deviation = surrogate.predict(GENOMES[:60], COSTS[:60])
    assert mean == pytest.approx(TRUTH[:60], abs=1e-4)
    assert (deviation < 1e-3).all()


def test_the_posterior_is_that_of_a_gaussian_process_with_these_covariances() -> None:
    variances, count = Variances(noise=0.15), 50
    surrogate = fit(GENOMES[:count], COSTS[:count], (TRUTH + NOISE)[:count], variances)
    prior = covariance(variances, count, 80)
    psnr = (TRUTH + NOISE)[:count]
    inverse = np.linalg.inv(prior[:count, :count] + 0.15 * np.eye(count))
    shared = prior[count:, :count]
    mean = psnr.mean() + shared @ inverse @ (psnr - psnr.mean())
    variance = np.diag(prior[count:, count:] - shared @ inverse @ shared.T)
    found, deviation = surrogate.predict(GENOMES[count:80], COSTS[count:80])
    assert found == pytest.approx(mean, abs=1e-8)
    assert deviation == pytest.approx(psnr.std() * np.sqrt(variance), abs=1e-6)


def test_features_are_zero_on_average_and_differ_between_networks() -> None:
    blocks = Features(GENOMES[:120], COSTS[:120]).of(GENOMES[:120], COSTS[:120])
    for name, block in zip(BLOCKS, blocks, strict=True):
        assert block.mean(axis=0) == pytest.approx(0, abs=1e-9), name
        assert len(np.unique(block.round(9), axis=0)) > 100, name


def test_the_fit_raises_the_evidence() -> None:
    def evidence(variances: Variances) -> float:
        target = (TRUTH + NOISE)[:100]
        target = (target - target.mean()) / target.std()
        noisy = covariance(variances, 100, 100) + variances.noise * np.eye(100)
        return float(
            -0.5 * target @ np.linalg.solve(noisy, target) - 0.5 * np.linalg.slogdet(noisy)[1]
        )

    found = fitted_variances(GENOMES[:100], COSTS[:100], (TRUTH + NOISE)[:100])
    assert evidence(found) > evidence(Variances()) + 0.5


def test_pure_noise_gives_flat_predictions() -> None:
    noise = np.random.default_rng(3).normal(30, 0.3, 150)
    surrogate = fit(GENOMES[:150], COSTS[:150], noise)
    mean, _ = surrogate.predict(GENOMES[150:], COSTS[150:])
    assert mean.std() < 0.12
    assert surrogate.denoised.std() < 0.6 * noise.std()


def test_unknown_cells_and_links_are_predicted_from_the_rest() -> None:
    narrow = SearchSpace(operators=("conv",), channels=(16,))
    rng = np.random.default_rng(2)
    known = [narrow.sample(rng) for _ in range(30)]
    surrogate = fit(known, [genome_cost(one) for one in known], np.linspace(29, 31, 30))
    mean, deviation = surrogate.predict(GENOMES[:20], COSTS[:20])
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()


def test_equal_scores_and_other_sizes() -> None:
    flat = fit(GENOMES[:10], COSTS[:10], [30.0] * 10)
    assert flat.denoised == pytest.approx(30, abs=1e-6)
    with pytest.raises(ValueError, match="at least two"):
        fit(GENOMES[:1], COSTS[:1], [30.0])
    with pytest.raises(ValueError, match="7 cells"):
        small = Genome.parse("conv_f16_k3_b1_noskip")
        fitted().predict([small], [genome_cost(small)])
    assert flat.predict([], [])[0].shape == (0,)


def test_evaluating_a_network_reduces_deviations_as_a_fit_with_it_would() -> None:
    variances = Variances(noise=0.2)
    psnr = (TRUTH + NOISE)[:41]
    posterior = fit(GENOMES[:40], COSTS[:40], psnr[:40], variances).posterior(
        GENOMES[38:80], COSTS[38:80]
    )
    before = posterior.deviation
    posterior.evaluate(5)
    posterior.evaluate(9)
    prior = covariance(variances, 40, 80)
    known = [*range(40), 43, 47]
    inverse = np.linalg.inv(prior[np.ix_(known, known)] + 0.2 * np.eye(42))
    shared = prior[38:, known]
    variance = np.diag(prior)[38:] - np.einsum("ij,jk,ik->i", shared, inverse, shared)
    assert posterior.deviation == pytest.approx(psnr[:40].std() * np.sqrt(variance), abs=1e-6)
    assert (posterior.deviation <= before + 1e-12).all()
