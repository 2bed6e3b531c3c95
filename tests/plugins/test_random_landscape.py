from dataclasses import replace

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Origin
from falsr_nas.core.errors import UserError
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation.psnr_range import psnr_range
from falsr_nas.evaluation.settings import EVALUATORS, EvaluationContext
from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.settings import TrainingSettings
from plugin_modules import plugin_module

MODULE = plugin_module("random_landscape")
RandomLandscape, Settings = MODULE.RandomLandscape, MODULE.RandomLandscapeSettings
SPACE = SearchSpace()
RNG = np.random.default_rng(0)
GENOMES = [SPACE.sample(RNG) for _ in range(300)]


def values(seed: int, genomes: list[Genome]) -> np.ndarray:
    landscape = RandomLandscape(seed)
    return np.array([landscape.psnr(genome) for genome in genomes])


def test_the_seed_determines_the_landscape_and_spelling_does_not_matter() -> None:
    first = values(1, GENOMES)
    assert first.tolist() == values(1, GENOMES).tolist()
    assert first.tolist() == values(1, [genome.canonical() for genome in GENOMES]).tolist()
    assert abs(np.corrcoef(residuals(1), residuals(2))[0, 1]) < 0.25


def residuals(seed: int) -> np.ndarray:
    """PSNR that parameters do not explain."""
    logs = np.log([genome_cost(genome).params for genome in GENOMES])
    psnr = values(seed, GENOMES)
    return psnr - np.polyval(np.polyfit(logs, psnr, 2), logs)


def test_equal_costs_differ_as_much_as_documented_and_size_pays() -> None:
    for seed in range(4):
        assert 0.4 < residuals(seed).std() < 0.9
        psnr = values(seed, GENOMES)
        assert np.corrcoef(np.log([genome_cost(g).params for g in GENOMES]), psnr)[0, 1] > 0.2
        assert ((psnr > 25) & (psnr < 36)).all()


def test_places_neighbours_and_links_matter() -> None:
    a, b = Cell.parse("conv_f16_k3_b1_noskip"), Cell.parse("conv_f16_k3_b2_noskip")
    landscape = RandomLandscape(5)

    def psnr(*cells: Cell, links: tuple[int, ...] = (0,) * 28) -> float:
        return landscape.psnr(SPACE.genome(cells, links))

    # Of equal cost, and with the same cells: only places, or only neighbours, differ.
    assert psnr(a, b, a, a, a, a, a) != psnr(a, a, b, a, a, a, a)
    assert psnr(b, a, a, a, a, a, a) - psnr(a, a, a, a, a, a, a) != pytest.approx(
        psnr(b, b, a, a, a, a, a) - psnr(a, b, a, a, a, a, a), abs=1e-3
    )
    links = [psnr(*[a] * 7, links=tuple(np.eye(28, dtype=int)[i])) for i in range(28)]
    assert len({round(value, 6) for value in links}) == 28


def test_a_space_with_other_choices_has_a_landscape() -> None:
    other = SearchSpace(n=3, operators=("groupConG8",), channels=(8, 24), stems=(8,))
    rng = np.random.default_rng(1)
    psnr = [RandomLandscape(3).psnr(other.sample(rng)) for _ in range(20)]
    assert np.isfinite(psnr).all()
    assert np.std(psnr) > 0.1


def test_the_evaluator_adds_noise_to_the_truth() -> None:
    context = EvaluationContext(TrainingSettings(), PhotographsSettings(), seed=4)
    evaluator = EVALUATORS.build(Settings(landscape=2, noise=0.3), context)
    assert psnr_range(evaluator.settings, context) == (26.0, 36.0)
    scores = [
        evaluator.evaluate(Candidate(one, genome_cost(one), Origin(("initial",)), 0, 0)).psnr
        for one in GENOMES
    ]
    noise = np.array(scores) - [evaluator.psnr(one) for one in GENOMES]
    assert noise.std() == pytest.approx(0.3, rel=0.15)
    assert [evaluator.psnr(one) for one in GENOMES] == values(2, GENOMES).tolist()


def test_a_negative_landscape_is_rejected() -> None:
    with pytest.raises(UserError, match=r"evaluator.landscape is -1"):
        replace(Settings(), landscape=-1)
