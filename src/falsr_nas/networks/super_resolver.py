"""What all networks have in common, hand-made or found."""

from __future__ import annotations

from torch import nn

from falsr_nas.networks.footprint import Footprint


class SuperResolver(nn.Module):
    """A network that upscales by two: (N, planes, H, W) -> (N, planes, 2H, 2W), values in [0, 1], the output not clipped.

    Attributes:
        planes: 1 if it works on full-range luma, 3 if on RGB.
        footprint: how far an output pixel sees, and what a forward pass keeps in memory.
    """

    planes: int
    footprint: Footprint
