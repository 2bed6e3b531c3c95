"""Bicubic interpolation: of planes, and as a network without weights to compare others with."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate, pad

from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.ends import SCALE


def bicubic(x: Tensor, scale: int = SCALE) -> Tensor:
    """Upscale by bicubic interpolation: (N, C, H, W) -> (N, C, sH, sW), s the scale.

    As in MATLAB: a = -0.5 (Keys, 1981), with the border replicated.
    """
    edge = 2  # taps on each side
    # PyTorch uses a = -0.5 only with antialiasing, which does not change the taps of upscaling.
    x = interpolate(
        pad(x, (edge,) * 4, mode="replicate"), scale_factor=scale, mode="bicubic", antialias=True
    )
    return x[..., scale * edge : -scale * edge, scale * edge : -scale * edge]


class Bicubic(SuperResolver):
    """Bicubic interpolation as a network without weights."""

    planes = 3

    def __init__(self, scale: int = SCALE) -> None:
        super().__init__()
        self.scale = scale
        self.footprint = Footprint(margin=2, floats=4 * scale**2 + 8)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, sH, sW)."""
        return bicubic(x, self.scale)
