"""Networks as arrays: their cells, links and ends are those of the genomes."""

import numpy as np
import pytest

from falsr_nas.space.cell import EMPTY_CELL
from falsr_nas.space.encoding import Networks
from falsr_nas.space.search_space import SearchSpace

SPACES = {
    "paper": SearchSpace(),
    "several ends": SearchSpace(stems=(8, 12, 32), upsamplers=("paper", "subpixel")),
    "one cell, residuals always on": SearchSpace(n=1, residuals=(True,)),
    "chains": SearchSpace(
        n=4,
        operators=("conv", "empty", "invertBotConE2"),
        channels=(8, 16),
        stems=(8, 16),
        upsamplers=("paper", "subpixel", "skipsubpixel"),
        links=False,
    ),
    "x4": SearchSpace(n=3, scale=4, residuals=(False,), upsamplers=("paper", "subpixel")),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_arrays_are_those_of_the_genomes(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    genomes = [space.sample(rng) for _ in range(100)]
    networks = Networks.of(genomes)
    for genome, cells, links, ends in zip(
        genomes, networks.cells, networks.links, networks.ends, strict=True
    ):
        drawn = [networks.cell_table[i] for i in cells]
        assert drawn == [*genome.cells, *[EMPTY_CELL] * (len(cells) - genome.n)]
        assert networks.ends_table[ends] == genome.ends
        assert {place for place, bit in zip(networks.places, links, strict=True) if bit} == {
            (node, target) for target, nodes in enumerate(genome.links, 2) for node in nodes
        }
