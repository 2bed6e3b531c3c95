from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.controller.crossover import paper, single_point
from falsr_nas.controller.initialization import InitialDesign
from falsr_nas.controller.mutation import (
    attribute_mutation,
    cell_mult_adds,
    cell_params,
    exploration,
    pick_mutation,
    random_mutation,
    roulette,
    roulette_weights,
)
from falsr_nas.controller.settings import ExplorationSettings, InitialSettings
from falsr_nas.core.errors import UserError
from falsr_nas.space.cell import Cell
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

PAPER = SearchSpace()
WITH_ENDS = SearchSpace(n=3, channels=(8, 12), stems=(4, 8), upsamplers=("paper", "subpixel"))
CHANGE_CELLS = attribute_mutation(PAPER, p_cell=1.0, p_link=0.0)
seeds = st.integers(0, 2**32)


def two_parents(rng: np.random.Generator) -> tuple[Genome, Genome]:
    return PAPER.sample(rng), PAPER.sample(rng)


def cuts(child: tuple, a: tuple, b: tuple) -> list[int]:
    return [cut for cut in range(1, len(a)) if child == a[:cut] + b[cut:]]


@given(seeds)
def test_crossover_cuts_cells_and_rows_of_links_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = two_parents(rng)
    child = single_point(a, b, rng)
    assert cuts(child.cells, a.cells, b.cells)
    assert cuts(child.links, a.links, b.links)


def test_crossover_cuts_uniformly_and_independently() -> None:
    rng = np.random.default_rng(1)
    # All genes of the parents differ, so that each cut is visible.
    a = PAPER.genome([PAPER.cells[i] for i in range(7)], [0] * 28)
    b = PAPER.genome([PAPER.cells[i + 50] for i in range(7)], [1] * 28)
    seen: Counter[tuple[int, int]] = Counter()
    for _ in range(3600):
        child = single_point(a, b, rng)
        seen[cuts(child.cells, a.cells, b.cells)[0], cuts(child.links, a.links, b.links)[0]] += 1
    assert len(seen) == 36
    counts = np.array(list(seen.values()))
    assert ((counts - 100) ** 2 / 100).sum() < 36 + 4 * np.sqrt(72)


@given(seeds)
def test_random_mutation_changes_something_and_stays_in_the_space(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = PAPER.sample(rng)
    flipped = random_mutation(PAPER, p_cell=0.0, p_link=1.0)(genome, rng).genome
    assert flipped.cells == genome.cells
    assert [
        a != b for a, b in zip(PAPER.encode(flipped)[1], PAPER.encode(genome)[1], strict=True)
    ] == [True] * 28
    assert random_mutation(PAPER)(genome, rng).genome in PAPER


def test_random_mutation_at_its_defaults_touches_one_cell_and_one_link_on_average() -> None:
    rng = np.random.default_rng(2)
    genome = PAPER.sample(rng)
    cells, bits, _ = map(np.array, PAPER.encode(genome))
    mutants = [PAPER.encode(random_mutation(PAPER)(genome, rng).genome) for _ in range(3000)]
    redrawn = np.mean([(np.array(c) != cells).sum() for c, _, _ in mutants])
    flipped = np.mean([(np.array(b) != bits).sum() for _, b, _ in mutants])
    # One of 192 redrawn cells is the old one. If nothing is drawn (12%), one gene is picked.
    nothing = (1 - 1 / 7) ** 7 * (1 - 1 / 28) ** 28
    assert abs(redrawn - (1 + nothing * 7 / 35) * 191 / 192) < 0.06
    assert abs(flipped - (1 + nothing * 28 / 35)) < 0.06


def test_random_mutation_redraws_the_ends_as_often_as_a_cell() -> None:
    rng = np.random.default_rng(4)
    genome = WITH_ENDS.sample(rng)
    mutants = [random_mutation(WITH_ENDS)(genome, rng).genome for _ in range(3000)]
    nothing = (1 - 1 / 3) ** 4 * (1 - 1 / 6) ** 6
    redrawn = 1 / 3 + nothing / 10
    assert abs(np.mean([one.ends != genome.ends for one in mutants]) - redrawn * 3 / 4) < 0.04
    assert {one.ends for one in mutants} == set(WITH_ENDS.ends)


def test_crossover_takes_the_ends_of_either_parent() -> None:
    rng = np.random.default_rng(5)
    a = WITH_ENDS.sample(rng)
    b = replace(WITH_ENDS.sample(rng), ends=next(e for e in WITH_ENDS.ends if e != a.ends))
    children = Counter(single_point(a, b, rng).ends for _ in range(400))
    assert set(children) == {a.ends, b.ends}
    assert abs(children[a.ends] - 200) < 60
    assert paper(a, b, rng).ends == a.ends


def test_the_initial_design_draws_the_ends_uniformly() -> None:
    rng = np.random.default_rng(6)
    design = InitialDesign(InitialSettings(), WITH_ENDS, rng)
    drawn = Counter(design.draw(rng).ends for _ in range(400))
    assert set(drawn) == set(WITH_ENDS.ends)
    assert max(abs(count - 100) for count in drawn.values()) < 40


@pytest.mark.parametrize("cell_cost", [cell_mult_adds, cell_params])
def test_the_roulette_keeps_links_and_draws_lighter_cells_by_their_weights(cell_cost) -> None:
    rng = np.random.default_rng(3)
    weights = roulette_weights(PAPER, cell_cost)
    costs = np.array([cell_cost(cell, cell.channels) for cell in PAPER.cells])
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights[np.argsort(costs, kind="stable")]) <= 1e-15).all()
    assert weights[0] / weights[1] == pytest.approx(np.log(costs[1]) / np.log(costs[0]))
    genome, drawn = PAPER.sample(rng), Counter()
    for _ in range(3000):
        mutant = roulette(PAPER, cell_cost)(genome, rng).genome
        assert mutant.links == genome.links
        drawn.update(PAPER.encode(mutant)[0])
    expected = weights * 21_000
    counts = np.array([drawn[i] for i in range(192)])
    assert ((counts - expected) ** 2 / expected).sum() < 192 + 4 * np.sqrt(2 * 192)


def test_exploration_probabilities_follow_the_paper() -> None:
    chances = {
        name: chance
        for name, (chance, _) in exploration(
            ExplorationSettings(p_attribute=0.2, p_random=0.5, p_flops=0.7), PAPER
        ).items()
    }
    assert chances == pytest.approx(
        {"attribute": 0.2, "random": 0.4, "roulette_flops": 0.16, "roulette_params": 0.24}
    )
    with pytest.raises(UserError, match="at least p_random"):
        ExplorationSettings(p_random=0.5, p_flops=0.4)


def test_the_initial_population_uses_every_cell_once_before_it_mixes_cells() -> None:
    rng = np.random.default_rng(4)
    design = InitialDesign(InitialSettings(), PAPER, rng)
    first = [design.draw(rng) for _ in range(192)]
    repeated: list[Cell] = [genome.cells[0] for genome in first]
    assert all(set(genome.cells) == {cell} for genome, cell in zip(first, repeated, strict=True))
    assert set(repeated) == set(PAPER.cells)
    for genome in (design.draw(rng) for _ in range(50)):
        assert len(set(genome.cells)) == 7


def test_initial_links_are_random_dense_or_none_as_set() -> None:
    rng = np.random.default_rng(5)
    design = InitialDesign(InitialSettings(p_random=0.5, p_dense=0.2), PAPER, rng)
    counts = np.array([sum(map(len, design.draw(rng).links)) for _ in range(3000)])
    assert abs((counts == 28).mean() - 0.2) < 0.025
    assert abs((counts == 0).mean() - 0.3) < 0.03
    assert abs(counts[(counts > 0) & (counts < 28)].mean() - 14) < 0.3


@pytest.mark.parametrize("cell_cost", [cell_mult_adds, cell_params])
def test_the_roulette_is_finite_where_a_cell_costs_one_mult_add(cell_cost) -> None:
    space = SearchSpace(operators=("conv",), channels=(1, 4), kernels=(1, 3), stems=(4,))
    weights = roulette_weights(space, cell_cost)
    costs = np.array([cell_cost(cell, cell.channels) for cell in space.cells])
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights[np.argsort(costs, kind="stable")]) <= 1e-15).all()
    assert roulette(space, cell_cost)(
        space.sample(np.random.default_rng(1)), np.random.default_rng(2)
    )


def test_the_papers_crossover_takes_one_cell_and_one_nodes_links_of_the_second_parent() -> None:
    rng = np.random.default_rng(5)
    cells, nodes = set(), set()
    for _ in range(300):
        a, b = PAPER.sample(rng), PAPER.sample(rng)
        child = paper(a, b, rng)
        places = [i for i in range(7) if child.cells[i] != a.cells[i]]
        assert len(places) <= 1
        assert all(child.cells[i] == b.cells[i] for i in places)
        changed = {
            node
            for ours, theirs in zip(child.links, a.links, strict=True)
            for node in {*ours} ^ {*theirs}
        }
        assert len(changed) <= 1
        for node in changed:
            assert [node in t for t in child.links] == [node in t for t in b.links]
        cells |= set(places)
        nodes |= changed
    assert cells == set(range(7))
    assert nodes == set(range(7))


def attributes(cell: Cell) -> tuple[object, ...]:
    return cell.operator, cell.channels, cell.kernel, cell.repeats, cell.residual


@given(seeds)
def test_the_mutation_of_attributes_changes_one_of_each_cell_that_it_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = PAPER.sample(rng).canonical()
    mutant = CHANGE_CELLS(genome, rng).genome
    assert mutant in PAPER
    assert mutant.links == genome.links
    for old, new in zip(genome.cells, mutant.cells, strict=True):
        assert new.canonical() != old
        different = sum(
            a != b for a, b in zip(attributes(old), attributes(new.canonical()), strict=True)
        )
        # One repeat has no residual: from there, repeats and residual change together.
        assert different == 1 or {old.repeats, new.repeats} & {1}
        assert different <= 2


def test_the_mutation_of_attributes_reaches_every_cell() -> None:
    rng = np.random.default_rng(3)
    cell, seen = PAPER.distinct_cells[0], set()
    genome = PAPER.genome([cell] * 7, [0] * 28)
    for _ in range(400):
        genome = CHANGE_CELLS(genome, rng).genome
        seen |= {one.canonical() for one in genome.cells}
    assert seen == set(PAPER.distinct_cells)


def test_the_mutation_of_attributes_flips_a_link_where_cells_have_no_other_choice() -> None:
    space = SearchSpace(
        operators=("conv",), channels=(16,), kernels=(3,), repeats=(1,), residuals=(False,)
    )
    rng = np.random.default_rng(0)
    genome = space.sample(rng)
    mutants = [attribute_mutation(space)(genome, rng).genome for _ in range(20)]
    assert {one.cells for one in mutants} == {genome.cells}
    assert any(one.links != genome.links for one in mutants)


def test_mutations_are_drawn_by_their_probabilities() -> None:
    settings = ExplorationSettings(p_attribute=0.25, p_random=0.5, p_flops=0.75)
    mutations, rng = exploration(settings, PAPER), np.random.default_rng(1)
    drawn = Counter(pick_mutation(mutations, rng)[0] for _ in range(4000))
    shares = {name: count / 4000 for name, count in drawn.items()}
    wanted = {
        "attribute": 0.25,
        "random": 0.375,
        "roulette_flops": 0.1875,
        "roulette_params": 0.1875,
    }
    assert shares == pytest.approx(wanted, abs=0.03)


def test_the_mutation_of_attributes_draws_every_pair_of_ends() -> None:
    rng = np.random.default_rng(4)
    mutate, genome = attribute_mutation(WITH_ENDS), WITH_ENDS.sample(rng)
    drawn = {mutate(genome, rng).genome.ends for _ in range(100)}
    assert drawn == set(WITH_ENDS.ends)
