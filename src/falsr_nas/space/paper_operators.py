"""The operators of the paper (III-A). Their modules are in :mod:`falsr_nas.networks.cells`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from falsr_nas.space.layers import Conv
from falsr_nas.space.operator_kind import CellOfKind, OperatorKind


def _convs(cell: CellOfKind, inputs: int) -> Iterator[Conv]:
    for repeat in range(cell.repeats):
        read = cell.channels if repeat else inputs
        yield Conv(read, cell.channels, cell.kernel, cell.operator.groups)


def _reach(cell: CellOfKind) -> int:
    return cell.repeats * (cell.kernel // 2)


def _floats(cell: CellOfKind) -> int:
    if cell.repeats == 1:
        return cell.channels
    # Input and output of a layer; the output of the first one too, where it is kept for the sum or
    # is still in memory.
    return (3 if cell.repeats > 2 or cell.residual else 2) * cell.channels


def _bottleneck_convs(cell: CellOfKind, inputs: int) -> Iterator[Conv]:
    width, kernel = cell.channels, cell.kernel
    inner = width * cell.operator.factor
    yield Conv(inputs, width, 1)
    for _ in range(cell.repeats):
        yield Conv(width, inner, kernel)
        yield Conv(inner, inner, 3, groups=inner)
        yield Conv(inner, width, kernel)


def _bottleneck_reach(cell: CellOfKind) -> int:
    return cell.repeats * (2 * (cell.kernel // 2) + 1)  # expand, depthwise 3 x 3, project


def _bottleneck_floats(cell: CellOfKind) -> int:
    width = cell.channels
    inner = width * cell.operator.factor
    first = width if cell.repeats > 1 else 0
    depthwise = width + 2 * inner  # the block's input; the layer's input and output
    project = 3 * width + inner  # the block's input, the layer's input and output, their sum
    return first + max(depthwise, project)


_CONV = OperatorKind(
    name="conv",
    convs=_convs,
    module="falsr_nas.networks.cells:ConvCell",
    label="C",
    colors=("#0072b2", "#56b4e9"),
    reach=_reach,
    floats=_floats,
)

PAPER_OPERATORS = (
    _CONV,
    replace(
        _CONV,
        name="groupCon",
        letter="G",
        factors=(2, 64),
        factor_name="groups",
        divides=True,
        label="G",
        colors=("#009e73", "#2fc79a"),
    ),
    OperatorKind(
        name="invertBotCon",
        letter="E",
        factor_name="expansion",
        convs=_bottleneck_convs,
        module="falsr_nas.networks.cells:InvertedBottleneckCell",
        label="E",
        colors=("#c25700", "#f0964b"),
        reach=_bottleneck_reach,
        floats=_bottleneck_floats,
    ),
)
"""The operators of the paper's search space."""
