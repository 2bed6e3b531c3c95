"""The exploring mutations (paper, IV-E1).

Each is a function of a genome and a generator of randomness. The reinforced one, which exploits, stands beside them under the
same signature.
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
    """A mutated genome; ``log_prob`` where it was drawn from a policy."""

    genome: Genome
    log_prob: float | None = None


Mutate = Callable[[Genome, np.random.Generator], Mutant]

Mutations = dict[str, tuple[float, Mutate]]
"""Mutations by name, each with its chance."""


def random_mutation(
    space: SearchSpace, p_cell: float | None = None, p_link: float | None = None
) -> Mutate:
    """Redraws each cell with ``p_cell`` (1/n) and flips each link with ``p_link`` (one over their number), at least one of them.

    The paper names random mutation without defining it; one cell and one link on average is our choice.
    """
    p_cell = 1 / space.n if p_cell is None else p_cell
    p_link = 1 / space.bits if p_link is None else p_link

    def mutate(genome: Genome, rng: np.random.Generator) -> Mutant:
        redraw, flip = rng.random(space.n) < p_cell, rng.random(space.bits) < p_link
        if not redraw.any() and not flip.any():
            place = int(rng.integers(space.n + space.bits))
            (redraw if place < space.n else flip)[
                place % space.n if place < space.n else place - space.n
            ] = True
        cells, bits = map(np.array, space.encode(genome))
        cells[redraw] = rng.integers(len(space.cells), size=int(redraw.sum()))
        return Mutant(space.genome([space.cells[i] for i in cells], bits ^ flip))

    return mutate


def roulette_weights(space: SearchSpace, price: Callable[[Cell], int]) -> np.ndarray:
    """Chances of the space's cells (cells,): one over the natural logarithm of their price, so that lighter ones are likelier.

    The paper scales FLOPs and parameters logarithmically first (IV-E1); the inverse is our choice of a wheel that favours the light.
    """
    weights = 1 / np.log([price(cell) for cell in space.cells])
    return np.asarray(weights / weights.sum())


def cell_mult_adds(cell: Cell) -> int:
    """Mult-adds of a cell for each pixel, reading as many channels as it gives: a cell's price apart from its neighbours."""
    return sum(conv.mult_adds for conv in cell_convs(cell, cell.channels))


def cell_params(cell: Cell) -> int:
    """Parameters of a cell that reads as many channels as it gives."""
    return sum(conv.params for conv in cell_convs(cell, cell.channels))


def roulette(space: SearchSpace, price: Callable[[Cell], int]) -> Mutate:
    """Draws n cells anew from the roulette wheel over the operators and keeps the links."""
    weights = roulette_weights(space, price)

    def mutate(genome: Genome, rng: np.random.Generator) -> Mutant:
        drawn = rng.choice(len(space.cells), size=space.n, p=weights)
        return Mutant(replace(genome, cells=tuple(space.cells[i] for i in drawn)))

    return mutate


def exploration(settings: ExplorationSettings, space: SearchSpace) -> Mutations:
    """The exploring mutations by name, each with its chance."""
    return {
        "random": (settings.p_random, random_mutation(space, settings.p_cell, settings.p_link)),
        "roulette_flops": (settings.p_flops - settings.p_random, roulette(space, cell_mult_adds)),
        "roulette_params": (1 - settings.p_flops, roulette(space, cell_params)),
    }


def pick(mutations: Mutations, rng: np.random.Generator) -> tuple[str, Mutate]:
    """A mutation and its name, drawn by the chances (paper, IV-E: a categorical distribution)."""
    names = list(mutations)
    chances = np.array([mutations[name][0] for name in names])
    name = names[int(rng.choice(len(names), p=chances / chances.sum()))]
    return name, mutations[name][1]
