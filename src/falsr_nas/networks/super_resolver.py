"""The base class of all networks: those of genomes, and bicubic interpolation."""

from __future__ import annotations

from torch import nn

from falsr_nas.networks.footprint import Footprint
from falsr_nas.space.ends import SCALE


class SuperResolver(nn.Module):
    """A network that upscales by its scale s: (N, planes, H, W) -> (N, planes, sH, sW).

    Values are in [0, 1]; the output is not clipped.

    Attributes:
        scale: upscaling factor; 2 unless a network has another.
        planes: 1 for networks on full-range luma, 3 for networks on RGB.
        footprint: the margin that an output pixel depends on, and the memory of a forward pass.
    """

    scale: int = SCALE
    planes: int
    footprint: Footprint
