"""The exploring mutations (paper, IV-E1).

Each is a function of a genome and a random generator. The exploiting one, in
:mod:`falsr_nas.controller.reinforcement`, has the same signature.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from falsr_nas.controller.settings import ExplorationSettings
from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import cell_mult_adds, cell_params
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace, link_bits


class Mutant(NamedTuple):
    """A mutated genome, with the ``log_prob`` of :class:`~falsr_nas.archive.candidate.Origin`."""

    genome: Genome
    log_prob: float | None = None


Mutate = Callable[[Genome, np.random.Generator], Mutant]

Mutations = dict[str, tuple[float, Mutate]]
"""Mutations by name, each with its share: probabilities that need not add up to 1."""


def pick_mutation(mutations: Mutations, rng: np.random.Generator) -> tuple[str, Mutate]:
    """Draw a mutation and its name (paper, IV-E: a categorical distribution)."""
    shares = np.array([share for share, _ in mutations.values()])
    name = list(mutations)[int(rng.choice(len(shares), p=shares / shares.sum()))]
    return name, mutations[name][1]


def random_mutation(
    space: SearchSpace, p_cell: float | None = None, p_link: float | None = None
) -> Mutate:
    """Return the mutation that redraws cells and ends and flips links at random, at least one.

    The paper names random mutation without defining it; one cell and one link on average is our
    choice.

    Args:
        space: the search space.
        p_cell: probability that a cell is redrawn, and that the ends are; None for 1/n.
        p_link: probability that a link is flipped; None for 1 / (n(n+1)/2).
    """

    def redrawn(cell: Cell, rng: np.random.Generator) -> Cell:
        return space.cells[int(rng.integers(len(space.cells)))]

    return _mutation(space, p_cell, p_link, redrawn)


def _mutation(
    space: SearchSpace,
    p_cell: float | None,
    p_link: float | None,
    redrawn: Callable[[Cell, np.random.Generator], Cell],
) -> Mutate:
    p_cell = 1 / space.n if p_cell is None else p_cell
    p_link = 1 / max(1, space.bits) if p_link is None else p_link

    def mutate(genome: Genome, rng: np.random.Generator) -> Mutant:
        redraw, flip = rng.random(space.n) < p_cell, rng.random(space.bits) < p_link
        other_ends = rng.random(space.end_genes) < p_cell
        genes = np.concatenate([redraw, flip, other_ends])
        if not genes.any():
            genes[rng.integers(len(genes))] = True
            redraw, flip, other_ends = np.split(genes, [space.n, space.n + space.bits])
        bits = np.array(link_bits(genome, space.n), np.int64)[: space.bits]
        cells = [
            redrawn(cell, rng) if change else cell
            for cell, change in zip(space.genes(genome), redraw, strict=True)
        ]
        ends = space.sample_ends(rng) if other_ends.any() else genome.ends
        return Mutant(space.genome(cells, bits ^ flip, ends))

    return mutate


def attribute_mutation(
    space: SearchSpace, p_cell: float | None = None, p_link: float | None = None
) -> Mutate:
    """Return the mutation that changes one attribute of cells, redraws ends and flips links.

    At least one gene is changed. Attributes are operator, channels, kernel, repeats and residual.
    Unlike random mutation, whose arguments it has, it keeps most of what a cell is. All of it is
    our choice.
    """
    near = _near_cells(space)

    def redrawn(cell: Cell, rng: np.random.Generator) -> Cell:
        choices = near[cell.canonical()]
        return choices[int(rng.integers(len(choices)))] if choices else cell

    return _mutation(space, p_cell, p_link, redrawn)


def _near_cells(space: SearchSpace) -> dict[Cell, list[Cell]]:
    """Return for each distinct cell of a space the others that differ in one attribute."""
    alike: dict[tuple[object, ...], list[Cell]] = defaultdict(list)  # but for one attribute
    for cell in space.cells:
        values = [getattr(cell, field.name) for field in fields(cell)]
        for i in range(len(values)):
            alike[i, *values[:i], *values[i + 1 :]].append(cell.canonical())
    near: dict[Cell, dict[Cell, None]] = {cell: {} for cell in space.distinct_cells}
    for group in alike.values():
        for cell in group:
            near[cell] |= {other: None for other in group if other != cell}
    return {cell: list(others) for cell, others in near.items()}


def roulette_weights(space: SearchSpace, cost: Callable[[Cell, int], float]) -> np.ndarray:
    """Return the probabilities (|S|,) of the space's cells, proportional to 1 / ln(cost).

    Cells read as many channels as they make. The paper takes the logarithm of FLOPs and parameters
    (IV-E1). The inverse, by which lighter cells are likelier, is our choice. Costs below 2 count as
    2, so that every probability is finite; the paper's space has no such cell.
    """
    weights = 1 / np.log(np.maximum([cost(cell, cell.channels) for cell in space.cells], 2))
    return np.asarray(weights / weights.sum())


def roulette(space: SearchSpace, cost: Callable[[Cell, int], float]) -> Mutate:
    """Return the mutation that draws all n cells from the roulette wheel and keeps the links."""
    weights = roulette_weights(space, cost)

    def mutate(genome: Genome, rng: np.random.Generator) -> Mutant:
        drawn = rng.choice(len(space.cells), size=space.n, p=weights)
        bits = link_bits(genome, space.n)[: space.bits]
        return Mutant(space.genome([space.cells[i] for i in drawn], bits, genome.ends))

    return mutate


def shape_mutation(space: SearchSpace) -> Mutate:
    """Return the mutation that repeats a cell, leaves one out, or sets one width for all.

    Depth and width are what costs follow from; changes of single cells hardly ever give a network
    another one of either (our choice).
    """

    def mutate(genome: Genome, rng: np.random.Generator) -> Mutant:
        cells, place, change = list(genome.cells), int(rng.integers(genome.n)), rng.integers(3)
        if change == 0 and genome.n < space.n:
            cells.insert(place, cells[place])
        elif change == 1 and genome.n > 1:
            del cells[place]
        else:
            return Mutant(space.with_width(genome, int(rng.choice(space.channels))))
        return Mutant(space.genome(cells, (), genome.ends))

    return mutate


def exploration(settings: ExplorationSettings, space: SearchSpace) -> Mutations:
    """Return the exploring mutations by name, each with its share.

    Where cells may be empty, a third are :func:`shape_mutation` (our choice).
    """
    p_cell, p_link, rest = settings.p_cell, settings.p_link, 1 - settings.p_attribute
    mutations = {
        "attribute": (settings.p_attribute, attribute_mutation(space, p_cell, p_link)),
        "random": (rest * settings.p_random, random_mutation(space, p_cell, p_link)),
        "roulette_flops": (
            rest * (settings.p_flops - settings.p_random),
            roulette(space, cell_mult_adds),
        ),
        "roulette_params": (rest * (1 - settings.p_flops), roulette(space, cell_params)),
    }
    return mutations | ({"shape": (0.5, shape_mutation(space))} if space.has_empty else {})
