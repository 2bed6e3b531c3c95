"""What an operator of the search space is, as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from falsr_nas.space.layers import Conv, Extra

if TYPE_CHECKING:
    from torch import nn

WHOLE_IMAGE = 10**6
"""Reach of an operator whose output depends on the whole image, e.g. by its mean.

Images are then not upscaled in tiles, whatever memory they need."""


class OperatorOfCell(Protocol):
    """What a kind of operator reads of the operator of a cell."""

    @property
    def factor(self) -> int:
        """The number in the operator's name; 1 where it has none."""

    @property
    def groups(self) -> int:
        """Number that must divide the channels of a cell and its input."""


class CellOfKind(Protocol):
    """What a kind of operator reads of a cell, which is a :class:`~falsr_nas.space.cell.Cell`.

    A cell names its operator, so that its class is above the kinds of operators.
    """

    @property
    def operator(self) -> OperatorOfCell:
        """The operator that is repeated."""

    @property
    def channels(self) -> int:
        """Output channels."""

    @property
    def kernel(self) -> int:
        """Kernel size."""

    @property
    def repeats(self) -> int:
        """Number of times that the operator is applied."""

    @property
    def residual(self) -> bool:
        """Whether the first layer's output is added to the last layer's."""


CellType = TypeVar("CellType", bound=CellOfKind)
"""The cell that the functions of a kind take; ``Cell`` in plug-ins."""


@dataclass(frozen=True)
class OperatorKind(Generic[CellType]):
    """A kind of operator: its name, its cost and its module; all else has a default.

    Attributes:
        name: of the operator in genomes: up to 32 letters, the first one lower case.
        convs: returns the convolutions of a cell with a number of input channels, in execution
            order. The first one reads the input of the cell.
        module: called with a cell and its number of input channels, returns a module
            (N, inputs, H, W) -> (N, f, H, W) of these convolutions; or the place of what is called,
            ``"package.module:Class"``, which is imported only when a network is built.
        extra: returns weights and products beside the convolutions; None for none.
        letter: for an operator with a number in its name, the upper case letter before it, as the
            ``G`` of ``groupConG4``; empty for an operator without a number.
        factors: smallest and largest number.
        factor_name: what messages call the number.
        divides: whether the channels that a cell reads and makes must be multiples of the number,
            as those of a grouped convolution.
        label: short name in tables, e.g. ``C`` in ``C64k3b2``; empty for the name.
        colors: of the operator in drawings on a light and on a dark background, e.g.
            ``("#0072b2", "#56b4e9")``; None for colours of a palette.
        reach: returns how far away, in pixels, an input pixel of a cell can be to affect an output
            pixel; None for the sum over the convolutions.
        floats: returns the most numbers per pixel in memory while a cell runs without gradients,
            without its input; None for an estimate from the convolutions, which is right where each
            layer reads the one before it.
    """

    name: str
    convs: Callable[[CellType, int], Iterable[Conv]]
    module: str | Callable[[CellType, int], nn.Module]
    extra: Callable[[CellType, int], Extra] | None = None
    letter: str = ""
    factors: tuple[int, int] = (1, 64)
    factor_name: str = "factor"
    divides: bool = False
    label: str = ""
    colors: tuple[str, str] | None = None
    reach: Callable[[CellType], int] | None = None
    floats: Callable[[CellType], int] | None = None

    @property
    def form(self) -> str:
        """How the operator is written: ``conv``, ``groupConG<groups>``."""
        return f"{self.name}{self.letter}<{self.factor_name}>" if self.letter else self.name

    @property
    def prefix(self) -> str:
        """The short name before a number: ``C``, ``G`` of ``G4-``, ``bsconv-``."""
        return self.label or (f"{self.name}{self.letter}" if self.letter else f"{self.name}-")

    def short_name(self, factor: int) -> str:
        """Return the short name before a cell's channels: ``C``, ``G4-``, ``bsconv-``."""
        return f"{self.prefix}{factor}-" if self.letter else self.prefix

    def cell_reach(self, cell: CellType) -> int:
        """Return how far away an input pixel of a cell can be to affect an output pixel."""
        if self.reach is not None:
            return self.reach(cell)
        return sum(conv.kernel // 2 for conv in self.convs(cell, cell.channels))

    def cell_floats(self, cell: CellType) -> int:
        """Return the most numbers per pixel in memory while a cell runs, without its input."""
        if self.floats is not None:
            return self.floats(cell)
        first, *others = self.convs(cell, cell.channels)
        # Beside the input and the output of a layer: the first output, which a residual adds, and
        # the input of a block, which a gate or a block's residual needs.
        layers = max([first.outputs, *(conv.inputs + conv.outputs for conv in others)])
        return 2 * cell.channels + layers
