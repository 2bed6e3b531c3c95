import numpy as np
import pytest

from falsr_nas.networks.counted_cost import thop_cost
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace


@pytest.mark.parametrize(
    ("name", "params", "mult_adds"),
    [
        ("FALSR-A", 1_021_401, 235.0006),
        ("FALSR-B", 324_745, 74.5021),
        ("FALSR-C", 426_569, 97.9550),
    ],
)
def test_published_costs(name: str, params: int, mult_adds: float) -> None:
    cost = genome_cost(PUBLISHED[name])
    assert cost.params == params
    assert round(cost.mult_adds / 1e9, 4) == mult_adds
    assert thop_cost(PUBLISHED[name]) == cost


def test_the_formula_is_the_built_network_on_360_genomes() -> None:
    rng = np.random.default_rng(7)
    wide = SearchSpace(
        n=4,
        operators=("conv", "groupConG8", "invertBotConE3"),
        channels=(8, 24),
        kernels=(1, 3, 5),
        stems=(16,),
    )
    small = {"n": 2, "channels": (8, 12), "upsamplers": ("paper", "subpixel")}
    ends = [
        SearchSpace(stems=(8, 12), **small),
        SearchSpace(stems=(8, 36), scale=3, **small),
        SearchSpace(stems=(4, 32), scale=4, **small | {"upsamplers": ("paper", "subpixel")}),
    ]
    genomes = [space.sample(rng) for space in ends for _ in range(20)]
    assert len({genome.ends for genome in genomes}) == sum(len(space.ends) for space in ends)
    genomes += [SearchSpace().sample(rng) for _ in range(280)] + [
        wide.sample(rng) for _ in range(20)
    ]
    for genome in genomes:
        assert genome_cost(genome) == thop_cost(genome)
