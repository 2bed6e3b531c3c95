"""The search space: the choices of cells, their number, and the links between them (paper, III)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from falsr_nas.core.settings import Settings, between, one_of
from falsr_nas.space.cell import EMPTY_CELL, Cell, Operator
from falsr_nas.space.ends import DEFAULT_STEMS, PAPER_ENDS, SCALE, SCALES, Ends
from falsr_nas.space.errors import GenomeError, SpaceError
from falsr_nas.space.genome import Genome

if TYPE_CHECKING:  # not imported at run time, so that --help stays fast
    import numpy as np


CHOICES = ("operators", "channels", "kernels", "residuals", "repeats", "stems", "upsamplers")
"""Settings of a space that list choices, beside ``unshuffles``."""


@lru_cache(maxsize=64)
def link_places(n: int) -> tuple[tuple[int, int], ...]:
    """Return the (node, target) of each link bit of ``n`` cells, row by row over the nodes.

    The paper's index is (i-1)(n+1-i/2)+(j-i), where i is node+1 and j is the target; ours is one
    less because it starts at 0.
    """
    return tuple((i - 1, j) for i in range(1, n + 1) for j in range(i + 1, n + 2))


def link_bits(genome: Genome, n: int) -> list[int]:
    """Return for each of :func:`link_places` of ``n`` cells 1 if a genome has the link, else 0."""
    bits = [0] * (n * (n + 1) // 2)
    for target, nodes in enumerate(genome.links, start=2):
        for node in nodes:
            bits[node * (2 * n - 1 - node) // 2 + target - 2] = 1  # the paper's index, less one
    return bits


@dataclass(frozen=True)
class SearchSpace(Settings, group="space"):
    """All genomes of ``n`` cells that are built from the given choices, with any links.

    The defaults are the paper's space. Where ``empty`` is among the operators, genomes have 1 to n
    cells. The genes of a genome are n cells, of which the empty ones are left out of the network.

    Attributes:
        n: number of cell blocks, 1..64.
        operators: names of operators: ``conv``, ``groupConG<groups>`` such as ``groupConG4``,
            ``invertBotConE<expansion>`` such as ``invertBotConE2``, or those of plug-ins; ``empty``
            for a cell that is left out.
        channels: choices for the output channels f of a cell.
        kernels: choices for the kernel size k, odd.
        residuals: choices for the in-cell residual connection: True, False or both.
        repeats: choices for the number of times b that a cell's operator is applied.
        stems: choices for the channels of node 0; none for 32 as in the paper, at x3 for 36.
        upsamplers: choices for the upsampler: ``paper``, ``subpixel``, or beside that
            ``skipsubpixel``, see :class:`~falsr_nas.space.ends.Ends`.
        unshuffles: choices for the unshuffle of the stem: 1 for none, 2 for half the width and
            height, see :class:`~falsr_nas.space.ends.Ends`.
        links: whether genomes may have links; not with ``empty`` or ``skipsubpixel``.
        scale: upscaling factor, 2..4; 2 in the paper.

    Raises:
        SpaceError: a list of choices is empty, has duplicates, or has an impossible choice. The
            message names it.
    """

    n: int = between(1, 64, unit="cells", default=7)
    operators: tuple[str, ...] = ("conv", "groupConG2", "groupConG4", "invertBotConE2")
    channels: tuple[int, ...] = (16, 32, 48, 64)
    kernels: tuple[int, ...] = (1, 3)
    residuals: tuple[bool, ...] = (True, False)
    repeats: tuple[int, ...] = (1, 2, 4)
    stems: tuple[int, ...] = ()
    upsamplers: tuple[str, ...] = (PAPER_ENDS.upsampler,)
    unshuffles: tuple[int, ...] = (1,)
    links: bool = True
    scale: int = one_of(SCALES, default=SCALE)

    def __post_init__(self) -> None:
        if not self.stems:
            object.__setattr__(self, "stems", (DEFAULT_STEMS[self.scale],))
        for name in (*CHOICES, "unshuffles"):
            choices = getattr(self, name)
            if not choices:
                raise SpaceError(f"space.{name} is empty: give at least one choice")
            if len(set(choices)) != len(choices):
                raise SpaceError(f"space.{name} repeats a choice: {list(choices)}")
        try:
            # Where all groups divide all channel counts, they divide every concatenation too. It is
            # therefore enough to check each cell behind each stem.
            for cell, ends in itertools.product(self.cells, self.ends):
                Genome((cell,), ((),), ends)
        except GenomeError as error:
            raise SpaceError(f"space: {error}") from None
        for groups in {cell.operator.groups for cell in self.cells}:
            if bad := [width for width in self.channels if width % groups]:
                raise SpaceError(f"space.channels: {groups} groups do not divide {bad[0]} channels")
        if not self.filled:
            raise SpaceError("space.operators: give at least one beside empty")
        skip = "skipsubpixel" in self.upsamplers
        if self.links and (self.has_empty or skip):
            what = "operators: empty" if self.has_empty else "upsamplers: skipsubpixel"
            raise SpaceError(f"space.{what} is for networks without links: set space.links=false")
        if skip and "subpixel" not in self.upsamplers:
            # Which is what it is where the widths of stem and last cell differ.
            raise SpaceError("space.upsamplers: skipsubpixel needs subpixel beside it")

    @cached_property
    def ends(self) -> tuple[Ends, ...]:
        """All pairs of a stem, with its unshuffle, and an upsampler that fit; they are one gene.

        The paper's space has one pair.
        """
        fit: dict[tuple[int, str, int], Ends] = {}
        misfits: list[tuple[tuple[int, str, int], GenomeError]] = []
        for choice in itertools.product(self.stems, self.upsamplers, self.unshuffles):
            stem, upsampler, unshuffle = choice
            try:
                fit[choice] = Ends(stem, upsampler, self.scale, unshuffle)
            except GenomeError as error:
                misfits.append((choice, error))
        for choice, misfit in misfits:
            if any(all(value != other[i] for other in fit) for i, value in enumerate(choice)):
                raise misfit
        return tuple(fit.values())

    @property
    def end_genes(self) -> int:
        """Number of genes for the ends: 1, or 0 where the space has only one pair."""
        return int(len(self.ends) > 1)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells of the space by index (paper, IV-A): 192 in the paper's space."""
        choices = itertools.product(
            self.operators, self.channels, self.kernels, self.repeats, self.residuals
        )
        return tuple(Cell(Operator.parse(o), f, k, b, residual) for o, f, k, b, residual in choices)

    @cached_property
    def distinct_cells(self) -> tuple[Cell, ...]:
        """The canonical cells, all of which have different layers: 160 in the paper's space."""
        return tuple(dict.fromkeys(cell.canonical() for cell in self.cells))

    @cached_property
    def filled(self) -> tuple[Cell, ...]:
        """The distinct cells but for the empty one."""
        return tuple(cell for cell in self.distinct_cells if not cell.is_empty)

    @property
    def has_empty(self) -> bool:
        """Whether cells may be empty."""
        return len(self.filled) < len(self.distinct_cells)

    @property
    def depths(self) -> range:
        """The numbers of cells that a genome may have."""
        return range(1 if self.has_empty else self.n, self.n + 1)

    @cached_property
    def _index(self) -> dict[Cell, int]:
        index = {cell: i for i, cell in enumerate(self.cells)}
        for i, cell in enumerate(self.cells):
            # Where residuals are always on, canonical cells are not among the choices.
            index.setdefault(cell.canonical(), i)
        return index

    @property
    def bits(self) -> int:
        """Number of link bits: n(n+1)/2, or 0 without links."""
        return len(self.link_places)

    @property
    def size(self) -> int:
        """Number of genomes in the space; in the paper's space 192**7 * 2**28."""
        return int(len(self.cells) ** self.n * 2**self.bits * len(self.ends))

    def __contains__(self, genome: Genome) -> bool:
        return (
            genome.n in self.depths
            and genome.ends in self.ends
            and (self.links or not any(genome.links))
            and all(cell in self._index for cell in genome.cells)
        )

    def sample(self, rng: np.random.Generator) -> Genome:
        """Draw a genome uniformly: cells, ends, and each link with probability 1/2.

        Where cells may be empty, the logarithm of their number is uniform, and every other genome
        has one width: of uniform draws nearly all would be deep and wide, and hardly any of one
        width (our choice).
        """
        if self.has_empty:
            depth = int((self.n + 1) ** rng.random())
            cells = [self.filled[i] for i in rng.integers(len(self.filled), size=depth)]
            genome = self.genome(cells, (), self.sample_ends(rng))
            return self.with_width(genome, cells[0].channels) if rng.random() < 0.5 else genome
        return self.genome(
            [self.cells[i] for i in rng.integers(len(self.cells), size=self.n)],
            rng.random(self.bits) < 0.5,
            self.sample_ends(rng),
        )

    def sample_ends(self, rng: np.random.Generator) -> Ends:
        """Draw a pair of ends uniformly; nothing is drawn where there is only one."""
        return self.ends[int(rng.integers(len(self.ends))) if self.end_genes else 0]

    def genome(
        self,
        cells: list[Cell] | tuple[Cell, ...],
        bits: np.ndarray | list[int] | tuple[int, ...],
        ends: Ends | None = None,
    ) -> Genome:
        """Build a genome from its genes.

        Args:
            cells: the n cells, of which empty ones are left out. Where all are empty, one is kept,
                the first of :attr:`filled`.
            bits: the link bits of :attr:`link_places`.
            ends: the ends, which may be left out where the space has only one pair.

        Raises:
            SpaceError: the ends are left out, and the space has several.
        """
        if ends is None:
            ends = self.decode_ends(())
        if self.has_empty:
            cells = [cell for cell in cells if not cell.is_empty] or [self.filled[0]]
        links: list[list[int]] = [[] for _ in cells]
        for (node, target), bit in zip(self.link_places, bits, strict=True):
            if bit:
                links[target - 2].append(node)
        return Genome(tuple(cells), tuple(tuple(nodes) for nodes in links), ends)

    def genes(self, genome: Genome) -> list[Cell]:
        """Return the n cells of a genome, empty ones last."""
        return [*genome.cells, *[EMPTY_CELL] * (self.n - genome.n)]

    def with_width(self, genome: Genome, width: int) -> Genome:
        """Return a genome whose cells all have this width; its stem too, where the space has it."""
        cells = tuple(replace(cell, channels=width) for cell in genome.cells)
        ends = next(
            (
                ends
                for ends in self.ends
                if ends.stem == width
                and (ends.name, ends.unshuffle) == (genome.ends.name, genome.ends.unshuffle)
            ),
            genome.ends,
        )
        return replace(genome, cells=cells, ends=ends)

    @property
    def link_places(self) -> tuple[tuple[int, int], ...]:
        """(node, target) of each link bit; see :func:`link_places`. None without links."""
        return link_places(self.n) if self.links else ()

    def encode(self, genome: Genome) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return the cell indices (n,) and link bits of a genome (paper, IV-A).

        The third value has the index of its ends; it is empty where the space has only one pair.

        Raises:
            SpaceError: the genome is not in the space.
        """
        if genome not in self:
            raise SpaceError(f"genome is not in this space: {genome}")
        ends = (self.ends.index(genome.ends),) * self.end_genes
        bits = link_bits(genome, self.n)[: self.bits]
        return tuple(self._index[cell] for cell in self.genes(genome)), tuple(bits), ends

    def decode(
        self, cells: tuple[int, ...], bits: tuple[int, ...], ends: tuple[int, ...] = ()
    ) -> Genome:
        """Build the genome of cell indices (n,), link bits and the index of its ends.

        Raises:
            SpaceError: their number or a value does not fit the space.
        """
        if len(cells) != self.n or any(not 0 <= i < len(self.cells) for i in cells):
            raise SpaceError(
                f"expected {self.n} cell indices in 0..{len(self.cells) - 1}, not {list(cells)}"
            )
        if len(bits) != self.bits or any(bit not in (0, 1) for bit in bits):
            raise SpaceError(f"expected {self.bits} link bits")
        return self.genome([self.cells[i] for i in cells], bits, self.decode_ends(ends))

    def decode_ends(self, index: tuple[int, ...]) -> Ends:
        """Return the ends of an index (1,), or () where the space has only one pair.

        Raises:
            SpaceError: the number of indices or a value does not fit the space.
        """
        if len(index) != self.end_genes or any(not 0 <= i < len(self.ends) for i in index):
            raise SpaceError(
                f"expected {self.end_genes} indices of ends in 0..{len(self.ends) - 1},"
                f" not {list(index)}"
            )
        return self.ends[index[0] if index else 0]
