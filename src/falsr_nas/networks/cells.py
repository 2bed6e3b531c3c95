"""The cells of the micro search space as modules (paper, III-A).

The module of a cell may be any module (N, inputs, H, W) -> (N, f, H, W). Training treats all
convolutions in it alike, except for what these attributes say, which a cell's module and the
modules in it may have:

- ``begins_at_zero``: names of convolutions that begin at zero where the initialization is of He's
  kind, e.g. the last one of a residual branch.
- ``scale_down(factor)``: makes the initial weights of a cell smaller, for ``scaled_he``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from falsr_nas.core.registry import resolve
from falsr_nas.space.cell import Cell
from falsr_nas.space.operators import OPERATORS


def conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Conv2d:
    """Return a convolution with stride 1, zero padding "same" and bias."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)


def conv_relu(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution and ReLU: (N, inputs, H, W) -> (N, outputs, H, W).

    In inference mode on a CPU, both are one oneDNN kernel (the one that torch.compile uses), which
    saves reading and writing the output once more. This kernel turns NaN into 0.
    """
    if (
        isinstance(layer, nn.Conv2d)
        and torch.is_inference_mode_enabled()
        and x.device.type == "cpu"
        and x.dtype == layer.weight.dtype
        and x.dtype in (torch.float32, torch.bfloat16)
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    ):
        return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
            x,
            layer.weight,
            layer.bias,
            layer.padding,
            layer.stride,
            layer.dilation,
            layer.groups,
            "relu",
            [],
            "",
        )
    output: Tensor = layer(x)
    return relu(output, inplace=True)


class ConvCell(nn.Module):
    """The cells conv and grouped conv: b times (k x k convolution, ReLU).

    A residual adds the output of the first layer to that of the last.

    Args:
        cell: the cell.
        inputs: number of input channels.
    """

    def __init__(self, cell: Cell, inputs: int) -> None:
        super().__init__()
        width, groups = cell.channels, cell.operator.groups
        self.layers = nn.ModuleList(
            conv(width if i else inputs, width, cell.kernel, groups) for i in range(cell.repeats)
        )
        self.residual = cell.has_residual

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, f, H, W)."""
        first = x = conv_relu(self.layers[0], x)
        for layer in self.layers[1:]:
            x = conv_relu(layer, x)
        return first + x if self.residual else x

    def scale_down(self, factor: float) -> None:
        """Make the residual branch small, for initial weights."""
        if self.residual:
            _weight(self.layers[-1]).mul_(factor)


class InvertedBottleneck(nn.Module):
    """An inverted bottleneck: x + project(depthwise(expand(x))).

    ReLU follows ``expand`` and ``depthwise``. The depthwise kernel is 3x3, whatever the cell's.

    Args:
        width: number of input and output channels.
        expansion: channels between ``expand`` and ``project``, as a multiple of ``width``.
        kernel: size of the kernels of ``expand`` and ``project``.
    """

    begins_at_zero = ("project",)

    def __init__(self, width: int, expansion: int, kernel: int) -> None:
        super().__init__()
        inner = width * expansion
        self.expand = conv(width, inner, kernel)
        self.depthwise = conv(inner, inner, 3, groups=inner)
        self.project = conv(inner, width, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(N, f, H, W) -> (N, f, H, W)."""
        inner = conv_relu(self.expand, x)
        inner = conv_relu(self.depthwise, inner)
        projected: Tensor = self.project(inner)
        return x + projected


class InvertedBottleneckCell(nn.Module):
    """The inverted bottleneck cell: a linear 1x1 convolution, then b inverted bottlenecks.

    A residual adds the output of the 1x1 convolution to that of the last bottleneck.

    Args:
        cell: the cell.
        inputs: number of input channels.
    """

    def __init__(self, cell: Cell, inputs: int) -> None:
        super().__init__()
        self.entry = conv(inputs, cell.channels, 1)
        blocks = (
            InvertedBottleneck(cell.channels, cell.operator.factor, cell.kernel)
            for _ in range(cell.repeats)
        )
        self.blocks = nn.ModuleList(blocks)
        self.residual = cell.has_residual

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, f, H, W)."""
        first = x = self.entry(x)
        for block in self.blocks:
            x = block(x)
        return first + x if self.residual else x

    def scale_down(self, factor: float) -> None:
        """Keep the output as large as those of other cells, for initial weights."""
        # No ReLU follows the entry, and the residual doubles what it gives.
        self.entry.weight.mul_(0.5**0.5 * (0.5 if self.residual else 1.0))


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return layer.weight


def build_cell(cell: Cell, inputs: int) -> nn.Module:
    """Return the module of a cell with ``inputs`` input channels, as its operator builds it."""
    return resolve(OPERATORS[cell.operator.kind].module)(cell, inputs)


def layers_that_begin_at_zero(module: nn.Module) -> Iterator[nn.Conv2d]:
    """Yield the convolutions in a module that ``begins_at_zero`` names."""
    for part in module.modules():
        for name in getattr(part, "begins_at_zero", ()):
            layer = part.get_submodule(name)
            assert isinstance(layer, nn.Conv2d), f"begins_at_zero names {name}, no convolution"
            yield layer


def concatenate(nodes: Mapping[int, Tensor], picked: tuple[int, ...]) -> Tensor:
    """Concatenate nodes (N, C_i, H, W) along the channels, in node order."""
    return nodes[picked[0]] if len(picked) == 1 else torch.cat([nodes[i] for i in picked], dim=1)
