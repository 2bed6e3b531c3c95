"""Blueprint-separable convolutions: ``bsconv``, b times (1x1, then depthwise k x k, ReLU).

BSConv-U of Haase and Amthor, "Rethinking Depthwise Separable Convolutions" (CVPR 2020), which the
small super-resolution networks BSRN and BSRN-S are made of. The 1x1 convolution comes first, so
that all k x k kernels of a filter are multiples of one of them, the blueprint. A k x k convolution
of f channels takes k^2 f^2 mult-adds per pixel, this one f^2 + k^2 f.

    python -m falsr_nas.search plugins=[plugins/bsconv.py] 'space.operators=[conv,bsconv]'
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from falsr_nas.networks.cells import conv, conv_relu
from falsr_nas.space import OPERATORS, Cell, Conv, OperatorKind


def convs(cell: Cell, inputs: int) -> Iterator[Conv]:
    """Yield the convolutions of a cell."""
    width = cell.channels
    for repeat in range(cell.repeats):
        yield Conv(width if repeat else inputs, width, 1)
        yield Conv(width, width, cell.kernel, groups=width)


class BlueprintConv(nn.Module):
    """A 1x1 convolution, then a depthwise one, without anything between them, and ReLU."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.pointwise = conv(inputs, width, 1)
        self.depthwise = conv(width, width, kernel, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, f, H, W)."""
        return conv_relu(self.depthwise, self.pointwise(x))


class BlueprintCell(nn.Module):
    """The cell; a residual adds the output of the first layer to that of the last."""

    def __init__(self, cell: Cell, inputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            BlueprintConv(cell.channels if i else inputs, cell.channels, cell.kernel)
            for i in range(cell.repeats)
        )
        self.residual = cell.has_residual

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, f, H, W)."""
        first = x = self.layers[0](x)
        for layer in self.layers[1:]:
            x = layer(x)
        return first + x if self.residual else x

    def scale_down(self, factor: float) -> None:
        """Make the residual branch small, for ``scaled_he``."""
        last = self.layers[-1]
        assert isinstance(last, BlueprintConv)
        if self.residual:
            last.depthwise.weight.mul_(factor)


OPERATORS.register(OperatorKind(name="bsconv", convs=convs, module=BlueprintCell, label="BS"))
