import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.core.errors import UserError
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.enumeration import affordable_genomes, heaviest, lightest
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace, SpaceError

PAPER = SearchSpace()
TINY = SearchSpace(
    n=2,
    operators=("conv", "groupConG2"),
    channels=(4, 8),
    kernels=(1, 3),
    repeats=(1, 2),
    stems=(8,),
)
WITH_ENDS = SearchSpace(
    n=1,
    operators=("conv", "groupConG2"),
    channels=(4, 8),
    repeats=(1, 2),
    stems=(4, 6, 8),
    upsamplers=("paper", "subpixel"),
)
FOR_X4 = SearchSpace(
    n=1,
    operators=("conv", "invertBotConE2"),
    channels=(4, 8),
    repeats=(1,),
    stems=(4, 16),
    upsamplers=("paper", "subpixel"),
    scale=4,
)

CHAINS = SearchSpace(
    n=3,
    operators=("empty", "conv"),
    channels=(4, 8),
    kernels=(3,),
    repeats=(1, 2),
    stems=(4, 8),
    upsamplers=("paper", "skipsubpixel", "subpixel"),
    unshuffles=(1, 2),
    links=False,
)
UNLINKED = SearchSpace(
    n=2,
    operators=("conv", "invertBotConE1"),
    channels=(4, 8),
    repeats=(1,),
    stems=(4, 8),
    upsamplers=("skipsubpixel", "subpixel"),
    links=False,
)


def test_the_papers_space() -> None:
    assert len(PAPER.cells) == 192
    assert len(set(PAPER.cells)) == 192
    assert PAPER.bits == 28
    assert PAPER.size == 192**7 * 2**28
    assert len(PAPER.distinct_cells) == 160


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_in_the_papers_space(name: str) -> None:
    genome = PUBLISHED[name]
    assert genome in PAPER
    assert PAPER.decode(*PAPER.encode(genome)) == genome


def test_ends_are_one_gene_of_all_pairs_that_fit() -> None:
    assert [(ends.stem, ends.upsampler) for ends in WITH_ENDS.ends] == [
        (4, "paper"),
        (4, "subpixel"),
        (6, "subpixel"),
        (8, "paper"),
        (8, "subpixel"),
    ]
    assert (PAPER.end_genes, WITH_ENDS.end_genes) == (0, 1)
    rng = np.random.default_rng(0)
    genomes = [WITH_ENDS.sample(rng) for _ in range(200)]
    assert {genome.ends for genome in genomes} == set(WITH_ENDS.ends)
    for genome in genomes:
        code = WITH_ENDS.encode(genome)
        assert WITH_ENDS.decode(*code) == genome
        assert len(code[2]) == 1


@pytest.mark.parametrize(("scale", "stem"), [(2, 32), (3, 36), (4, 32)])
def test_stems_suit_the_scale_where_none_is_named(scale: int, stem: int) -> None:
    space = SearchSpace(scale=scale)
    assert space.stems == (stem,)
    assert [str(ends.name) for ends in space.ends] == [f"paper_x{scale}"]
    assert len(space.cells) == 192


def test_ends_cannot_be_left_out_where_there_are_several() -> None:
    with pytest.raises(SpaceError, match="expected 1 indices of ends"):
        WITH_ENDS.genome([WITH_ENDS.cells[0]], [0])
    with pytest.raises(SpaceError, match="expected 0 indices of ends"):
        PAPER.decode((0,) * 7, (0,) * 28, (0,))


def test_samples_of_the_papers_space_are_those_of_version_0_1() -> None:
    rng = np.random.default_rng(3)
    assert [PAPER.sample(rng).key for _ in range(3)] == [
        "25992643c3209ca5",
        "6bf85dc1b00006bc",
        "49fb8e3da65b2d64",
    ]


@given(st.integers(0, 2**32))
def test_encoding_round_trips(seed: int) -> None:
    genome = PAPER.sample(np.random.default_rng(seed))
    cells, bits, ends = PAPER.encode(genome)
    assert ends == ()
    assert PAPER.decode(cells, bits) == genome
    canonical = genome.canonical()
    assert PAPER.decode(*PAPER.encode(canonical)).key == genome.key


def test_link_bits_follow_the_papers_index() -> None:
    n = PAPER.n
    for place, (node, target) in enumerate(PAPER.link_places, start=1):
        i, j = node + 1, target
        assert place == (i - 1) * (n + 1 - i / 2) + (j - i)


def test_samples_are_uniform() -> None:
    rng = np.random.default_rng(0)
    codes = [PAPER.encode(PAPER.sample(rng)) for _ in range(4000)]
    counts = np.bincount(np.concatenate([cells for cells, *_ in codes]), minlength=192)
    expected = 4000 * 7 / 192
    assert ((counts - expected) ** 2 / expected).sum() < 192 + 4 * np.sqrt(
        2 * 192
    )  # chi-square, 4 deviations
    shares = np.mean([bits for _, bits, _ in codes], axis=0)
    assert np.abs(shares - 0.5).max() < 0.04


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"n": 0}, "space.n is 0"),
        ({"operators": ()}, "space.operators is empty"),
        ({"channels": (18, 16)}, "4 groups do not divide 18"),
        ({"channels": (16, 16)}, "repeats a choice"),
        ({"kernels": (2,)}, "odd"),
        ({"stems": (30,)}, "30 channels"),
        (
            {"stems": (36,), "operators": ("groupConG8",), "channels": (16,)},
            "do not divide its 36 input",
        ),
        ({"operators": ("convolution",)}, "unknown operator"),
        ({"upsamplers": ("nearest",)}, "unknown upsampler"),
        (
            {"upsamplers": ("paper", "subpixel"), "stems": (30, 32), "scale": 3},
            "cannot be shuffled",
        ),
        ({"scale": 5}, "space.scale is 5"),
        ({"unshuffles": (1, 3)}, "unshuffle is 3: it must be 1 or 2"),
        ({"unshuffles": (1, 2), "stems": (20,)}, "20 channels cannot be shuffled into 4x4"),
        ({"operators": ("conv", "empty")}, "empty is for networks without links"),
        ({"operators": ("empty",), "links": False}, "give at least one beside empty"),
        ({"upsamplers": ("subpixel", "skipsubpixel")}, "skipsubpixel is for networks without"),
        ({"upsamplers": ("skipsubpixel",), "links": False}, "needs subpixel beside it"),
    ],
)
def test_invalid_spaces_are_rejected(choices: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        SearchSpace(**choices)


def test_genomes_of_another_space_are_rejected() -> None:
    with pytest.raises(SpaceError, match="not in this space"):
        TINY.encode(PUBLISHED["FALSR-A"])


def all_networks(space: SearchSpace) -> dict[str, Genome]:
    n, bits = space.n, space.bits
    codes = np.ndindex(
        *(len(space.cells),) * n, *(2,) * bits, *(len(space.ends),) * space.end_genes
    )
    found = (space.decode(code[:n], code[n : n + bits], code[n + bits :]) for code in codes)
    return {genome.key: genome.canonical() for genome in found}


@pytest.mark.parametrize("space", [TINY, WITH_ENDS, FOR_X4, CHAINS, UNLINKED])
def test_enumeration_visits_every_affordable_network_once(space: SearchSpace) -> None:
    networks = all_networks(space)
    costs = sorted(genome_cost(genome).mult_adds for genome in networks.values())
    for limit in (None, costs[0], costs[len(costs) // 3], costs[0] - 1):
        visited = [genome.key for genome in affordable_genomes(space, limit)]
        wanted = {
            key
            for key, genome in networks.items()
            if limit is None or genome_cost(genome).mult_adds <= limit
        }
        assert len(visited) == len(wanted)
        assert set(visited) == wanted
    assert genome_cost(lightest(space)).mult_adds == costs[0]
    assert genome_cost(heaviest(space)).mult_adds == costs[-1]
    params = [genome_cost(genome).params for genome in networks.values()]
    assert genome_cost(lightest(space, "params")).params == min(params)
    assert genome_cost(heaviest(space, "params")).params == max(params)


def test_the_heaviest_network_may_have_different_cells() -> None:
    space = SearchSpace(
        n=3,
        operators=("conv", "invertBotConE1"),
        channels=(8,),
        kernels=(3,),
        repeats=(1,),
        residuals=(False,),
        stems=(4,),
    )
    networks = all_networks(space)
    assert len(set(heaviest(space).cells)) == 2
    assert genome_cost(heaviest(space)).mult_adds == max(
        genome_cost(genome).mult_adds for genome in networks.values()
    )


def test_enumeration_finds_the_only_affordable_network_of_the_papers_space() -> None:
    least = genome_cost(lightest(PAPER)).mult_adds
    first = next(affordable_genomes(PAPER, least))
    assert genome_cost(first).mult_adds == least


@given(st.lists(st.integers(0, len(CHAINS.cells) - 1), min_size=3, max_size=3), st.integers(0, 9))
def test_empty_cells_are_left_out(indices: list[int], ends: int) -> None:
    genome = CHAINS.decode(tuple(indices), (), (ends,))
    drawn = [CHAINS.cells[i] for i in indices]
    kept = [cell for cell in drawn if cell.operator.kind != "empty"]
    assert list(genome.cells) == (kept or [CHAINS.filled[0]])
    assert genome in CHAINS
    assert CHAINS.decode(*CHAINS.encode(genome)) == genome
    assert Genome.parse(str(genome)) == Genome.from_json(genome.to_json()) == genome
    canonical = genome.canonical()
    assert canonical in CHAINS
    assert canonical.key == genome.key
    same_width = genome.cells[-1].channels == genome.stem
    skips = genome.ends.upsampler == "skipsubpixel" and same_width
    assert (canonical.ends.upsampler == "skipsubpixel") == skips


def test_genomes_with_links_are_not_in_a_space_without() -> None:
    linked = Genome.parse("stem_f4 conv_f4_k3_b1_noskip conv_f4_k3_b1_noskip subpixel_x2 | 0->2")
    assert linked not in CHAINS
    assert Genome.parse(str(linked).replace("0->2", "")) in CHAINS


def test_draws_of_chains_have_any_depth_and_often_one_width() -> None:
    rng = np.random.default_rng(0)
    genomes = [CHAINS.sample(rng) for _ in range(300)]
    assert all(genome in CHAINS for genome in genomes)
    assert {genome.n for genome in genomes} == {1, 2, 3}
    widths = [{genome.stem, *(cell.channels for cell in genome.cells)} for genome in genomes]
    assert 150 < sum(len(of_genome) == 1 for of_genome in widths) < 270
