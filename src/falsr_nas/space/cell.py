"""Cells and their operators: the blocks of a network as plain, hashable values (paper, III-A)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from falsr_nas.core import plugins
from falsr_nas.space.ends import MOST_CHANNELS
from falsr_nas.space.errors import GenomeError
from falsr_nas.space.operators import EMPTY, GROUP, OPERATORS
from falsr_nas.space.paper_operators import PAPER_OPERATORS

# Upper bounds for cells from untrusted input. They are far above any practical network, and low
# enough that no text can make us allocate terabytes.
_MOST = {"channels": MOST_CHANNELS, "kernel": 15, "repeats": 32}

_OPERATOR = re.compile(r"([A-Za-z]+?)(?:([A-Z])(\d{1,4}))?")
_CELL = re.compile(r"([A-Za-z]+(?:[A-Z]\d{1,4})?)_f(\d{1,6})_k(\d{1,4})_b(\d{1,4})_(isskip|noskip)")


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator of a cell: ``conv``, ``groupConG<groups>``, or another of :data:`OPERATORS`.

    Attributes:
        kind: name in :data:`~falsr_nas.space.operators.OPERATORS`.
        factor: the number in the operator's name, e.g. groups or the expansion ratio; 1 where it
            has none.
    """

    kind: str
    factor: int = 1

    @classmethod
    def parse(cls, name: str) -> Operator:
        """Parse the name of an operator, such as ``groupConG4``.

        Raises:
            GenomeError: the name is not an operator's.
        """
        match = _OPERATOR.fullmatch(name)
        kind, letter, factor = match.groups() if match else (name, None, None)
        if kind not in OPERATORS or OPERATORS[kind].letter != (letter or ""):
            raise GenomeError(OPERATORS.unknown(name))
        if factor is None:
            return cls(kind)
        least, most = OPERATORS[kind].factors
        if not least <= int(factor) <= most:
            of = OPERATORS[kind].factor_name
            raise GenomeError(f"operator {name!r}: {of} must be in {least}..{most}")
        return cls(kind, int(factor))

    @property
    def name(self) -> str:
        """The name of this operator in genomes; the paper's for the paper's operators."""
        letter = OPERATORS[self.kind].letter
        return f"{self.kind}{letter}{self.factor}" if letter else self.kind

    @property
    def groups(self) -> int:
        """Number that must divide the channels of a cell and its input: 1 for most operators."""
        return self.factor if OPERATORS[self.kind].divides else 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the micro search space (paper, III-A).

    Attributes:
        operator: the operator that is repeated.
        channels: output channels f, 1..1024, a multiple of the operator's groups.
        kernel: kernel size k, odd, 1..15.
        repeats: number of times b that the operator is applied, 1..32.
        residual: whether the first layer's output is added to the last layer's. This has no effect
            where ``repeats`` is 1.

    Raises:
        GenomeError: a value is out of range, or the groups do not divide the channels.
    """

    operator: Operator
    channels: int
    kernel: int
    repeats: int
    residual: bool

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= _MOST["channels"]:
            raise GenomeError(f"cell {self.name}: channels must be in 1..{_MOST['channels']}")
        if not 1 <= self.kernel <= _MOST["kernel"] or self.kernel % 2 == 0:
            raise GenomeError(
                f"cell {self.name}: the kernel must be odd and in 1..{_MOST['kernel']}"
            )
        if not 1 <= self.repeats <= _MOST["repeats"]:
            raise GenomeError(f"cell {self.name}: repeats must be in 1..{_MOST['repeats']}")
        if self.channels % self.operator.groups:
            raise GenomeError(
                f"cell {self.name}: {self.operator.groups} groups do not divide"
                f" {self.channels} channels"
            )

    @staticmethod
    @lru_cache(maxsize=4096)  # a search parses a few hundred names millions of times
    def parse(name: str) -> Cell:
        """Parse the paper's name of a cell, such as ``conv_f64_k3_b4_isskip``.

        Raises:
            GenomeError: the name is not a valid cell's.
        """
        match = _CELL.fullmatch(name)
        if match is None:
            raise GenomeError(
                f"{name!r} is not a cell: expected a name such as conv_f64_k3_b4_isskip"
            )
        operator, channels, kernel, repeats, skip = match.groups()
        kind = Operator.parse(operator)
        if kind.kind == EMPTY:
            raise GenomeError(f"{name!r}: leave empty cells out of a genome")
        return Cell(kind, int(channels), int(kernel), int(repeats), skip == "isskip")

    @property
    def name(self) -> str:
        """The paper's name of this cell."""
        skip = "isskip" if self.residual else "noskip"
        return f"{self.operator.name}_f{self.channels}_k{self.kernel}_b{self.repeats}_{skip}"

    @property
    def has_residual(self) -> bool:
        """Whether there is a residual connection: with one repeat ``residual`` does nothing."""
        return self.residual and self.repeats > 1

    @property
    def is_empty(self) -> bool:
        """Whether a network has no layers for this cell, which only the genes of a space may be."""
        return self.operator.kind == EMPTY

    def canonical(self) -> Cell:
        """Return the canonical cell with the same layers: no residual where it has no effect."""
        if self.is_empty:
            return EMPTY_CELL
        return replace(self, residual=False) if self.repeats == 1 else self


EMPTY_CELL = Cell(Operator(EMPTY), channels=1, kernel=1, repeats=1, residual=False)
"""The canonical empty cell."""


def other_cells(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells whose operators are not the paper's, but for empty ones."""
    known = {EMPTY, *(kind.name for kind in PAPER_OPERATORS)}
    return [cell for cell in cells if cell.operator.kind not in known]


def from_plugins(cells: Iterable[Cell]) -> dict[str, str]:
    """Return the plug-ins that cells need, with the SHA-256 of each by its name."""
    names = {cell.operator.kind for cell in cells}
    owners = (plugins.owner(GROUP, name) for name in sorted(names))
    return {owner.name: owner.sha256 for owner in owners if owner is not None}
