"""What networks are counted by: convolutions, and other weights and products."""

from __future__ import annotations

from typing import NamedTuple


class Conv(NamedTuple):
    """One convolution with a bias.

    Attributes:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the square kernel.
        groups: groups of channels.
        density: output pixels per low-resolution pixel: 4 after a shuffle by 2, before any 1, or
            0.25 after an unshuffle by 2.
    """

    inputs: int
    outputs: int
    kernel: int
    groups: int = 1
    density: float = 1

    @property
    def params(self) -> int:
        """Number of weights and biases."""
        return self.outputs * (self.inputs // self.groups * self.kernel**2 + 1)

    @property
    def mult_adds(self) -> float:
        """Multiply-add operations per low-resolution pixel, exactly."""
        return self.density * self.outputs * (self.inputs // self.groups) * self.kernel**2


class Extra(NamedTuple):
    """What an operator has beside convolutions, e.g. a learned slope or products of matrices.

    Attributes:
        params: number of weights.
        mult_adds: multiply-add operations per low-resolution pixel; those of element-wise
            operations are not counted, as in the paper.
    """

    params: int = 0
    mult_adds: float = 0
