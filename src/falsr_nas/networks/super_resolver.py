"""The base class of all networks: those of genomes, and the baselines."""

from __future__ import annotations

from torch import nn

from falsr_nas.networks.footprint import Footprint


class SuperResolver(nn.Module):
    """A network that upscales by two: (N, planes, H, W) -> (N, planes, 2H, 2W).

    Values are in [0, 1]; the output is not clipped.

    Attributes:
        planes: 1 for networks on full-range luma, 3 for networks on RGB.
        footprint: the margin that an output pixel depends on, and the memory of a forward pass.
    """

    planes: int
    footprint: Footprint
