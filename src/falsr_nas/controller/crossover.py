"""Crossover of cells and links at the same time (paper, IV-D).

The paper calls its operator single-point crossover, and its formula replaces one gene of parent A by
parent B's: C = (x1_A, ..., xi_B, ..., xn_A), likewise one target's links. The usual meaning of
single-point crossover is a cut after which all genes come from the other parent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from falsr_nas.controller.settings import Crossover
from falsr_nas.space.genome import Genome

Cross = Callable[[Genome, Genome, np.random.Generator], Genome]


def single_point(a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    """Return the child that begins as ``a`` and ends as ``b``, cut once in cells and once in links.

    Links are cut between targets, so that all nodes that a target reads come from one parent. Each
    parent gives at least one cell and one target where there are two.
    """
    cells = _cut(len(a.cells), rng)
    targets = _cut(len(a.links), rng)
    return Genome(a.cells[:cells] + b.cells[cells:], a.links[:targets] + b.links[targets:], a.stem)


def paper(a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    """Return ``a`` with one cell of ``b`` and one node's outgoing links of ``b`` (paper, IV-D).

    The two positions are independent. In the paper's encoding the links that leave a node are one
    row, and a row is one gene.
    """
    cell, node = int(rng.integers(len(a.cells))), int(rng.integers(len(a.links)))
    cells = (*a.cells[:cell], b.cells[cell], *a.cells[cell + 1 :])
    links = tuple(
        tuple(sorted({*ours} - {node} | {*theirs} & {node}))
        for ours, theirs in zip(a.links, b.links, strict=True)
    )
    return Genome(cells, links, a.stem)


CROSSOVERS: dict[Crossover, Cross] = {
    Crossover.single_point: single_point,
    Crossover.paper: paper,
}


def _cut(length: int, rng: np.random.Generator) -> int:
    """Draw a cut position in 1..length-1; a single gene comes from either parent."""
    return int(rng.integers(1, length)) if length > 1 else int(rng.integers(2))
