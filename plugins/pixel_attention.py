"""Convolutions with pixel attention: ``pixelAtt``, b times (k x k, ReLU), then a gate per value.

The gate is 2 sigmoid(1x1 convolution), times which the output is multiplied: the pixel attention of
Zhao et al., "Efficient Image Super-Resolution Using Pixel Attention" (PAN, 2020). It comes once, at
the end of a cell, where it takes f^2 of the (1 + b k^2) f^2 mult-adds per pixel: 3 % of four 3x3
convolutions. The f products themselves are not counted, like all that is element-wise.

Attention over channels (SE, ECA) costs less, but reads the mean of the whole image. Photographs
could then not be upscaled in tiles, and the means of training patches are not those of photographs.
Pixel attention is as local as the convolutions around it.

The 1x1 convolution begins at zero, so that the gate is 1 at first, and the cell a plain ``conv``.

    python -m falsr_nas.search plugins=[plugins/pixel_attention.py] \
        'space.operators=[conv,pixelAtt]'
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from falsr_nas.networks.cells import ConvCell, conv
from falsr_nas.space import OPERATORS, Cell, Conv, OperatorKind


def convs(cell: Cell, inputs: int) -> Iterator[Conv]:
    """Yield the convolutions of a cell."""
    width = cell.channels
    for repeat in range(cell.repeats):
        yield Conv(width if repeat else inputs, width, cell.kernel)
    yield Conv(width, width, 1)


class PixelAttentionCell(nn.Module):
    """The cell: that of ``conv`` with its residual, then the gate."""

    begins_at_zero = ("gate",)

    def __init__(self, cell: Cell, inputs: int) -> None:
        super().__init__()
        self.body = ConvCell(cell, inputs)
        self.gate = conv(cell.channels, cell.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, f, H, W)."""
        x = self.body(x)
        return x * (2 * self.gate(x).sigmoid())

    def scale_down(self, factor: float) -> None:
        """Make the residual branch small, for ``scaled_he``."""
        self.body.scale_down(factor)


OPERATORS.register(
    OperatorKind(name="pixelAtt", convs=convs, module=PixelAttentionCell, label="PA")
)
