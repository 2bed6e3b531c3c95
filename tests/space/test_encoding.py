"""Networks as arrays: they are those of the genomes, with the same costs."""

from dataclasses import replace

import numpy as np
import pytest

from falsr_nas.space.cost import genome_cost
from falsr_nas.space.encoding import NONE, Encoding
from falsr_nas.space.search_space import SearchSpace

SPACES = {
    "paper": SearchSpace(),
    "several ends": SearchSpace(stems=(8, 12, 32), upsamplers=("paper", "subpixel")),
    "one cell, residuals always on": SearchSpace(n=1, residuals=(True,)),
    "x4": SearchSpace(n=3, scale=4, residuals=(False,), upsamplers=("paper", "subpixel")),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_arrays_are_those_of_the_genomes_and_cost_the_same(space: SearchSpace) -> None:
    rng, encoding = np.random.default_rng(0), Encoding(space)
    genomes = [space.sample(rng) for _ in range(300)]
    networks = encoding.encode(genomes)
    assert [encoding.decode(networks, i).key for i in range(300)] == [one.key for one in genomes]
    costs = [genome_cost(genome) for genome in genomes]
    assert encoding.costs(networks).tolist() == [[one.params, one.mult_adds] for one in costs]
    assert len(set(networks.rows())) == len({one.key for one in genomes})


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_attributes_name_each_distinct_cell_once(space: SearchSpace) -> None:
    encoding = Encoding(space)
    assert encoding.cell_of(encoding.attributes).tolist() == [*range(len(space.distinct_cells))]
    for cell, (operator, channels, kernel, repeats, residual) in zip(
        space.distinct_cells, encoding.attributes, strict=True
    ):
        assert space.operators[operator] == cell.operator.name
        assert (space.channels[channels], space.kernels[kernel]) == (cell.channels, cell.kernel)
        assert space.repeats[repeats] == cell.repeats
        if cell.repeats == 1:
            assert residual == NONE
        else:
            assert space.residuals[residual] == cell.residual


def test_networks_are_the_same_where_all_genes_are() -> None:
    encoding = Encoding(SPACES["several ends"])
    rng = np.random.default_rng(1)
    networks = encoding.encode([encoding.space.sample(rng) for _ in range(4)])
    links, ends = networks.links.copy(), networks.ends.copy()
    links[1, 3] ^= True
    ends[2] = (ends[2] + 1) % 6
    others = replace(networks, links=links, ends=ends)
    assert networks.same_as(others).tolist() == [True, False, False, True]
