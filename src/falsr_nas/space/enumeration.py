"""Light and heavy networks of a space, and all networks up to a limit of mult-adds.

Controllers enumerate networks where random draws find no new one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING

from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import (
    cell_mult_adds,
    genome_cost,
    input_pixels,
    stem_conv,
    upsampler_convs,
)
from falsr_nas.space.ends import Ends
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

if TYPE_CHECKING:
    import numpy as np


def _end_mult_adds(ends: Ends, inputs: int) -> float:
    """Return the mult-adds of stem and upsampler per low-resolution pixel."""
    convs = (stem_conv(ends), *upsampler_convs(ends, inputs))
    return sum(conv.mult_adds for conv in convs)


def affordable_genomes(space: SearchSpace, limit: float | None) -> Iterator[Genome]:
    """Yield the canonical genomes of all different networks of at most ``limit`` mult-adds.

    Lighter ends and lighter cells come first. A chain of cells is abandoned as soon as its cheapest
    completion exceeds the limit, so that a rare network in a large space is found quickly.

    Args:
        space: the search space.
        limit: maximum mult-adds, or None for no limit.
    """
    budget = float("inf") if limit is None else limit / input_pixels(space.scale)
    for ends in sorted(space.ends, key=lambda ends: _end_mult_adds(ends, ends.stem)):
        yield from _affordable(space, ends, budget)


def _affordable(space: SearchSpace, ends: Ends, budget: float) -> Iterator[Genome]:
    """Yield the networks with these ends of at most ``budget`` mult-adds per pixel."""
    cells = sorted(space.filled, key=lambda cell: cell_mult_adds(cell, cell.channels))

    @cache
    def cheapest_rest(placed: int, inputs: int) -> float:
        """Return the fewest mult-adds of all parts after ``placed`` cells.

        ``inputs`` is the number of channels of the last of these cells.
        """
        found = [_end_mult_adds(ends, inputs)] if placed in space.depths else []
        if placed < space.n:
            found += [
                ends.density * cell_mult_adds(cell, inputs)
                + cheapest_rest(placed + 1, cell.channels)
                for cell in cells
            ]
        return min(found)

    def chains(
        chain: tuple[Cell, ...], inputs: int, spent: float
    ) -> Iterator[tuple[tuple[Cell, ...], float]]:
        whole = spent + _end_mult_adds(ends, inputs)
        if len(chain) in space.depths and whole <= budget and ends == ends.canonical(inputs):
            yield chain, whole
        for cell in cells if len(chain) < space.n else ():
            mult_adds = spent + ends.density * cell_mult_adds(cell, inputs)
            if mult_adds + cheapest_rest(len(chain) + 1, cell.channels) <= budget:
                yield from chains((*chain, cell), cell.channels, mult_adds)

    for chain, spent in chains((), ends.stem, 0):
        yield from _link_up(space, chain, ends, budget - spent)


def _link_up(
    space: SearchSpace, chain: tuple[Cell, ...], ends: Ends, budget: float
) -> Iterator[Genome]:
    """Yield the chain of cells with every set of links that adds at most ``budget`` mult-adds."""
    bare = space.genome(chain, [0] * space.bits, ends)
    mult_adds = []
    for node, target in space.link_places:
        width = bare.node_channels(node)
        if target > space.n:
            mult_adds.append(next(upsampler_convs(ends, width)).mult_adds)
            continue
        # The mult-adds of every operator are linear in the channels that it reads.
        cell, before = chain[target - 1], bare.in_channels(target)
        added = cell_mult_adds(cell, before + width) - cell_mult_adds(cell, before)
        mult_adds.append(ends.density * added)
    least = sorted(mult_adds)
    for count in range(space.bits + 1):
        if sum(least[:count]) > budget:
            return
        for chosen in itertools.combinations(range(space.bits), count):
            if sum(mult_adds[i] for i in chosen) <= budget:
                yield space.genome(chain, [int(i in chosen) for i in range(space.bits)], ends)


def draw_light(space: SearchSpace, rng: np.random.Generator) -> Genome:
    """Draw a genome that is probably lighter than a uniform draw, by a random degree.

    Each cell is the one with the fewest mult-adds of 1, 2, 4, 8 or 16 uniform draws, and links have
    a random probability. Uniform draws, of which all have about half of the links, are hardly ever
    light; :meth:`SearchSpace.sample` draws without links are.
    """
    if space.has_empty:
        return space.sample(rng)
    count, p_link = 2 ** int(rng.integers(5)), rng.random()
    cells = []
    for _ in range(space.n):
        drawn = [space.cells[i] for i in rng.integers(len(space.cells), size=count)]
        cells.append(min(drawn, key=lambda cell: cell_mult_adds(cell, cell.channels)))
    return space.genome(cells, rng.random(space.bits) < p_link, space.sample_ends(rng))


def lightest(space: SearchSpace, by: str = "mult_adds") -> Genome:
    """Return the network with the fewest ``mult_adds`` or ``params``."""
    found = (_lightest(space, ends) for ends in space.ends)
    return min(found, key=lambda genome: int(getattr(genome_cost(genome), by)))


def _lightest(space: SearchSpace, ends: Ends) -> Genome:
    # Mult-adds and cells of the lightest chain by the channels of its last cell.
    best: dict[int, tuple[float, tuple[Cell, ...]]] = {ends.stem: (0, ())}
    found: list[tuple[float, tuple[Cell, ...]]] = []
    for depth in range(1, space.n + 1):
        options: dict[int, tuple[float, tuple[Cell, ...]]] = {}
        for inputs, (spent, chain) in best.items():
            for cell in space.filled:
                mult_adds = spent + ends.density * cell_mult_adds(cell, inputs)
                if cell.channels not in options or mult_adds < options[cell.channels][0]:
                    options[cell.channels] = (mult_adds, (*chain, cell))
        best = options
        if depth in space.depths:
            found += [(spent + _end_mult_adds(ends, w), c) for w, (spent, c) in best.items()]
    _, chain = min(found, key=itemgetter(0))
    return space.genome(chain, [0] * space.bits, ends)


def heaviest(space: SearchSpace, by: str = "mult_adds") -> Genome:
    """Return the network with the most ``mult_adds`` or ``params``.

    All links are set, and each cell is the one of the largest width that has the most mult-adds
    with the channels that it reads.
    """
    found = (_heaviest(space, ends) for ends in space.ends)
    return max(found, key=lambda genome: int(getattr(genome_cost(genome), by)))


def _heaviest(space: SearchSpace, ends: Ends) -> Genome:
    width = max(space.channels)
    wide = [cell for cell in space.filled if cell.channels == width]
    read = [ends.stem + width * placed for placed in range(space.n)]
    if not space.links:
        read = [ends.stem, *[width] * (space.n - 1)]
    chain = [max(wide, key=partial(cell_mult_adds, inputs=inputs)) for inputs in read]
    return space.genome(chain, [1] * space.bits, ends)
