"""The search space: which cells, how many, and how they may be linked (paper, III)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from falsr_nas.errors import UserError
from falsr_nas.space.genome import STEM, Cell, Genome, GenomeError, Operator

if TYPE_CHECKING:  # a command that prints its help needs none of it
    import numpy as np


class SpaceError(UserError):
    """A search space that holds no network, or a genome that is not in it."""


@dataclass(frozen=True)
class SearchSpace:
    """All genomes of ``n`` cells whose parts are among the given choices, with any links.

    Attributes:
        n: cell blocks, 1..64.
        operators: names such as ``conv``, ``groupConG4``, ``invertBotConE2``.
        channels: output channels f of a cell.
        kernels: odd kernel sides k.
        residuals: whether a cell may have, may lack, or either, its in-cell residual.
        repeats: repeats b of a cell's operator.
        stem: channels of node 0.

    Raises:
        SpaceError: when a choice is empty, repeated or impossible; the message names it.
    """

    n: int = 7
    operators: tuple[str, ...] = ("conv", "groupConG2", "groupConG4", "invertBotConE2")
    channels: tuple[int, ...] = (16, 32, 48, 64)
    kernels: tuple[int, ...] = (1, 3)
    residuals: tuple[bool, ...] = (True, False)
    repeats: tuple[int, ...] = (1, 2, 4)
    stem: int = STEM

    def __post_init__(self) -> None:
        for name in ("operators", "channels", "kernels", "residuals", "repeats"):
            choices = tuple(getattr(self, name))
            if not choices:
                raise SpaceError(f"space.{name} is empty: give at least one choice")
            if len(set(choices)) != len(choices):
                raise SpaceError(f"space.{name} repeats a choice: {list(choices)}")
            object.__setattr__(self, name, choices)  # configs bring lists
        if not 1 <= self.n <= 64:
            raise SpaceError(f"space.n is {self.n}: a network has 1 to 64 cells")
        try:
            # Channel counts that all groups divide also divide every concatenation, so the lightest chain proves the rest.
            for cell in self.cells:
                Genome((cell,), ((),), self.stem)
        except GenomeError as error:
            raise SpaceError(f"space: {error}") from None
        for groups in {cell.operator.groups for cell in self.cells}:
            if bad := [width for width in self.channels if width % groups]:
                raise SpaceError(f"space.channels: {groups} groups do not divide {bad[0]} channels")

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every choice of a cell, by index (paper, IV-A): 192 in the paper's space."""
        choices = itertools.product(
            self.operators, self.channels, self.kernels, self.repeats, self.residuals
        )
        return tuple(Cell(Operator.parse(o), f, k, b, residual) for o, f, k, b, residual in choices)

    @cached_property
    def distinct_cells(self) -> tuple[Cell, ...]:
        """The cells that build different layers, canonical: 160 in the paper's space."""
        return tuple(dict.fromkeys(cell.canonical() for cell in self.cells))

    @cached_property
    def _index(self) -> dict[Cell, int]:
        index = {cell: i for i, cell in enumerate(self.cells)}
        for i, cell in enumerate(self.cells):
            index.setdefault(
                cell.canonical(), i
            )  # a canonical cell may lack a spelling of its own here
        return index

    @property
    def bits(self) -> int:
        """Links that can be set or not: n(n+1)/2."""
        return self.n * (self.n + 1) // 2

    @property
    def size(self) -> int:
        """Genomes in the space, as the paper counts them: 192**7 * 2**28."""
        return int(len(self.cells) ** self.n * 2**self.bits)

    @property
    def distinct_size(self) -> int:
        """Different networks in the space: genomes that build the same network count once."""
        return int(len(self.distinct_cells) ** self.n * 2**self.bits)

    def __contains__(self, genome: Genome) -> bool:
        return (
            genome.n == self.n
            and genome.stem == self.stem
            and all(cell in self._index for cell in genome.cells)
        )

    def sample(self, rng: np.random.Generator) -> Genome:
        """A genome drawn uniformly: n independent cells, every link by a fair coin."""
        return self.genome(
            [self.cells[i] for i in rng.integers(len(self.cells), size=self.n)],
            rng.random(self.bits) < 0.5,
        )

    def genome(
        self, cells: list[Cell] | tuple[Cell, ...], bits: np.ndarray | list[int] | tuple[int, ...]
    ) -> Genome:
        """The genome of n cells and n(n+1)/2 link bits, in :meth:`encode`'s order."""
        links: list[list[int]] = [[] for _ in range(self.n)]
        for (node, target), bit in zip(self.link_places, bits, strict=True):
            if bit:
                links[target - 2].append(node)
        return Genome(tuple(cells), tuple(tuple(nodes) for nodes in links), self.stem)

    @cached_property
    def link_places(self) -> tuple[tuple[int, int], ...]:
        """(node, target) of every link bit, row by row over the nodes: the paper's index (i-1)(n+1-i/2)+(j-i), counted from 0."""
        return tuple((i - 1, j) for i in range(1, self.n + 1) for j in range(i + 1, self.n + 2))

    def encode(self, genome: Genome) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Cell indices (n,) and link bits (n(n+1)/2,) of a genome (paper, IV-A). Raises SpaceError if it is not in the space."""
        if genome not in self:
            raise SpaceError(f"genome is not in this space: {genome}")
        bits = tuple(int(node in genome.links[target - 2]) for node, target in self.link_places)
        return tuple(self._index[cell] for cell in genome.cells), bits

    def decode(self, cells: tuple[int, ...], bits: tuple[int, ...]) -> Genome:
        """The genome of cell indices (n,) and link bits (n(n+1)/2,). Raises SpaceError when they do not fit."""
        if len(cells) != self.n or any(not 0 <= i < len(self.cells) for i in cells):
            raise SpaceError(
                f"expected {self.n} cell indices in 0..{len(self.cells) - 1}, not {list(cells)}"
            )
        if len(bits) != self.bits or any(bit not in (0, 1) for bit in bits):
            raise SpaceError(f"expected {self.bits} link bits")
        return self.genome([self.cells[i] for i in cells], bits)
