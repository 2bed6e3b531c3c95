"""The exploring mutations (paper, IV-E1).

Each is a function of a genome and a random generator. The exploiting one, in
:mod:`falsr_nas.controller.reinforcement`, has the same signature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from falsr_nas.controller.settings import ExplorationSettings
from falsr_nas.space.cost import cell_convs
from falsr_nas.space.genome import Cell, Genome
from falsr_nas.space.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutated genome.

    Attributes:
        genome: the network.
        log_prob: as in :class:`~falsr_nas.archive.candidate.Origin`.
    """

    genome: Genome
    log_prob: float | None = None


Mutate = Callable[[Genome, np.random.Generator], Mutant]

Mutations = dict[str, tuple[float, Mutate]]
"""Mutations by name, each with its probability."""


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
    p_cell = 1 / space.n if p_cell is None else p_cell
    p_link = 1 / space.bits if p_link is None else p_link

    def mutate(genome: Genome, rng: np.random.Generator) -> Mutant:
        redraw, flip = rng.random(space.n) < p_cell, rng.random(space.bits) < p_link
        other_ends = rng.random(space.end_genes) < p_cell
        genes = np.concatenate([redraw, flip, other_ends])
        if not genes.any():
            genes[rng.integers(len(genes))] = True
            redraw, flip, other_ends = np.split(genes, [space.n, space.n + space.bits])
        cells, bits, _ = map(np.array, space.encode(genome))
        cells[redraw] = rng.integers(len(space.cells), size=int(redraw.sum()))
        ends = space.sample_ends(rng) if other_ends.any() else genome.ends
        return Mutant(space.genome([space.cells[i] for i in cells], bits ^ flip, ends))

    return mutate


def roulette_weights(space: SearchSpace, cost: Callable[[Cell], int]) -> np.ndarray:
    """Return the probabilities (|S|,) of the space's cells, proportional to 1 / ln(cost).

    The paper takes the logarithm of FLOPs and parameters (IV-E1). The inverse, by which lighter
    cells are likelier, is our choice. Costs below 2 count as 2, so that every probability is
    finite; the paper's space has no such cell.
    """
    weights = 1 / np.log(np.maximum([cost(cell) for cell in space.cells], 2))
    return np.asarray(weights / weights.sum())


def cell_mult_adds(cell: Cell) -> int:
    """Return the mult-adds per low-resolution pixel of a cell with equal input and output width."""
    return sum(conv.mult_adds for conv in cell_convs(cell, cell.channels))


def cell_params(cell: Cell) -> int:
    """Return the number of parameters of a cell with equal input and output width."""
    return sum(conv.params for conv in cell_convs(cell, cell.channels))


def roulette(space: SearchSpace, cost: Callable[[Cell], int]) -> Mutate:
    """Return the mutation that draws all n cells from the roulette wheel and keeps the links."""
    weights = roulette_weights(space, cost)

    def mutate(genome: Genome, rng: np.random.Generator) -> Mutant:
        drawn = rng.choice(len(space.cells), size=space.n, p=weights)
        return Mutant(replace(genome, cells=tuple(space.cells[i] for i in drawn)))

    return mutate


def exploration(settings: ExplorationSettings, space: SearchSpace) -> Mutations:
    """Return the exploring mutations by name, each with its probability."""
    return {
        "random": (settings.p_random, random_mutation(space, settings.p_cell, settings.p_link)),
        "roulette_flops": (settings.p_flops - settings.p_random, roulette(space, cell_mult_adds)),
        "roulette_params": (1 - settings.p_flops, roulette(space, cell_params)),
    }


def pick(mutations: Mutations, rng: np.random.Generator) -> tuple[str, Mutate]:
    """Draw a mutation and its name (paper, IV-E: a categorical distribution)."""
    names = list(mutations)
    chances = np.array([mutations[name][0] for name in names])
    name = names[int(rng.choice(len(names), p=chances / chances.sum()))]
    return name, mutations[name][1]
