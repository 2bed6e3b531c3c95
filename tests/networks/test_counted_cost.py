"""Counts on built networks: thop's and PyTorch's agree with the formula and with the literature."""

from __future__ import annotations

import numpy as np
import pytest

from falsr_nas.benchmark.peers import PEERS
from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.networks.counted_cost import network_cost, thop_cost
from falsr_nas.networks.network import Network
from falsr_nas.space.cost import Cost, genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace

COSTS = {
    "FALSR-A": Cost(1_021_401, 235_000_627_200),
    "FALSR-B": Cost(324_745, 74_502_144_000),
    "FALSR-C": Cost(426_569, 97_955_020_800),
}
"""Of the published graphs."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_costs_of_the_published_networks(name: str) -> None:
    genome = PUBLISHED[name]
    assert genome_cost(genome) == COSTS[name]
    assert thop_cost(genome) == COSTS[name]
    assert network_cost(Network(genome)) == COSTS[name]


def test_the_paper_counts_falsr_c_without_one_connection() -> None:
    text = str(PUBLISHED["FALSR-C"])
    assert text.endswith(" 0,2,6->8")
    without = genome_cost(Genome.parse(text.replace(" 0,2,6->8", " 0,6->8")))
    assert without.params == COSTS["FALSR-C"].params - 64 * 9 * 32
    assert round(without.params / 1e3) == PEERS["FALSR-C"].params_k
    assert round(without.mult_adds / 1e9, 1) == PEERS["FALSR-C"].mult_adds_g


CHAINS = SearchSpace(
    operators=("conv", "groupConG2", "invertBotConE2", "empty"),
    links=False,
    stems=(16, 32),
    upsamplers=("paper", "subpixel", "skipsubpixel"),
    unshuffles=(1, 2),
)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("space", [SearchSpace(n=4), CHAINS], ids=["links", "chains"])
def test_counts_agree_with_the_formula(seed: int, space: SearchSpace) -> None:
    genome = space.sample(np.random.default_rng(seed))
    assert thop_cost(genome) == network_cost(Network(genome)) == genome_cost(genome)


def test_bicubic_costs_nothing() -> None:
    assert network_cost(Bicubic()) == Cost(0, 0)
