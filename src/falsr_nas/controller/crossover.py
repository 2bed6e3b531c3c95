"""Crossover of cells and links at the same time (paper, IV-D).

The paper calls its operator single-point crossover, but its formula replaces one cell of parent A
by that of parent B, C = (x1_A, ..., xi_B, ..., xn_A), and likewise the links of one node. Usually,
single-point crossover means a cut after which all genes come from the other parent. Both are
offered.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from falsr_nas.controller.settings import Crossover
from falsr_nas.space.cell import Cell
from falsr_nas.space.genome import Genome

Links = tuple[tuple[int, ...], ...]

Cross = Callable[[Genome, Genome, np.random.Generator], Genome]
"""A crossover: two parents of one space and a random generator to a child."""


def single_point(a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    """Return a child whose first genes are those of ``a`` and whose last are those of ``b``.

    Cells and links are cut at independent positions. Links are cut between targets, so that all
    nodes that a target reads come from one parent. Where there are at least two cells, each parent
    gives at least one cell and the links of at least one target. The ends, which are one gene, are
    those of either parent. Of parents of different depth, the child has that of ``b``, or more.
    """
    cut = _cut(len(a.cells), rng)
    targets = _cut(len(a.links), rng)
    # Nothing is drawn for equal ends, so that a space with one pair has the draws that it had.
    ends = b.ends if a.ends != b.ends and rng.random() < 0.5 else a.ends
    cells = a.cells[:cut] + b.cells[cut:]
    return Genome(cells, _fitted(a.links[:targets] + b.links[targets:], cells), ends)


def paper(a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    """Return ``a`` with one cell of ``b`` and the links of one node of ``b`` (paper, IV-D).

    Cell and node are drawn independently. The links of a node are those by which targets read it:
    they are one row in the paper's encoding, and a row is one gene. Where ``b`` has no cell at that
    place, the cell is left out.
    """
    places = max(len(a.cells), len(b.cells))
    cell, node = int(rng.integers(places)), int(rng.integers(places))
    cells = (*a.cells[:cell], *b.cells[cell : cell + 1], *a.cells[cell + 1 :])
    links = tuple(
        tuple(sorted({*ours} - {node} | {*theirs} & {node}))
        for ours, theirs in zip(a.links, b.links, strict=False)
    )
    return Genome(cells, _fitted(links, cells), a.ends)


CROSSOVERS: dict[Crossover, Cross] = {
    Crossover.single_point: single_point,
    Crossover.paper: paper,
}
"""The crossover of each setting ``controller.crossover``."""


def _fitted(links: Links, cells: tuple[Cell, ...]) -> Links:
    """Return as many links as cells; parents of different depth have none."""
    return (*links, *[()] * len(cells))[: len(cells)]


def _cut(length: int, rng: np.random.Generator) -> int:
    """Draw a cut position in 1..length-1; a single gene comes from either parent."""
    return int(rng.integers(1, length)) if length > 1 else int(rng.integers(2))
