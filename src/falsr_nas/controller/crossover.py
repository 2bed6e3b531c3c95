"""Crossover in the micro and the macro space at once (paper, IV-D)."""

from __future__ import annotations

import numpy as np

from falsr_nas.space.genome import Genome


def single_point(a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    """The child that begins as ``a`` and ends as ``b``, cut once among the cells and once among the links, independently.

    Links are cut between targets, so that all the nodes a target reads come from one parent. Each parent gives at least one cell
    and one target where there are two.
    """
    cells = _cut(len(a.cells), rng)
    targets = _cut(len(a.links), rng)
    return Genome(a.cells[:cells] + b.cells[cells:], a.links[:targets] + b.links[targets:], a.stem)


def _cut(length: int, rng: np.random.Generator) -> int:
    """A place to cut a row of genes, 1..length-1; a single gene comes from either parent."""
    return int(rng.integers(1, length)) if length > 1 else int(rng.integers(2))
