"""What networks are counted by: convolutions, and other weights and products."""

from __future__ import annotations

from typing import NamedTuple


class Conv(NamedTuple):
    """One convolution of stride 1 with a bias.

    Attributes:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the square kernel.
        groups: groups of channels.
        density: output pixels per low-resolution pixel: 4 after a shuffle by 2, before any 1.
    """

    inputs: int
    outputs: int
    kernel: int
    groups: int = 1
    density: int = 1

    @property
    def params(self) -> int:
        """Number of weights and biases."""
        return self.outputs * (self.inputs // self.groups * self.kernel**2 + 1)

    @property
    def mult_adds(self) -> int:
        """Multiply-add operations per low-resolution pixel."""
        return self.density * self.outputs * (self.inputs // self.groups) * self.kernel**2


class Extra(NamedTuple):
    """What an operator has beside convolutions, e.g. a learned slope or products of matrices.

    Attributes:
        params: number of weights.
        mult_adds: multiply-add operations per low-resolution pixel; those of element-wise
            operations are not counted, as in the paper.
    """

    params: int = 0
    mult_adds: int = 0
