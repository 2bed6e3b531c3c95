"""The network of a genome (paper, Figure 1)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, fx, nn
from torch.nn.functional import channel_shuffle, interpolate, pad, pixel_shuffle

from falsr_nas.networks.cells import build_cell, concatenate, conv, conv_relu
from falsr_nas.networks.footprint import footprint, released
from falsr_nas.networks.runtime_network import RuntimeNetwork
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.cost import upsampler_convs
from falsr_nas.space.genome import Genome

_UNSHUFFLED = (2, 3, 2, 3)
"""Padding for a 6x6 convolution with a stride of 2, by which odd sides are rounded up."""


class Network(SuperResolver):
    """The network of a genome: a stem, n cell blocks and an upsampler, on the luma plane.

    The upsamplers are described in :class:`~falsr_nas.space.ends.Ends`.

    Args:
        genome: the cells and their connections, and the ends.

    Attributes:
        genome: as given.
        stem: 3x3 convolution from the input to node 0; with an unshuffle 6x6 with a stride of 2,
            which is a 3x3 one of the planes.
        cells: the cell blocks; block i makes node i.
        merge: 3x3 convolution of the nodes that the upsampler of the paper reads, else None.
        restore: the last 3x3 convolution: at high resolution in the upsampler of the paper; in
            others it reads the nodes.
    """

    planes = 1

    def __init__(self, genome: Genome) -> None:
        super().__init__()
        self.genome = genome
        self.scale = genome.scale
        self.footprint = footprint(genome)
        self._released, self._skips = released(genome), genome.has_global_skip
        self.stem, self._unshuffle = conv(1, genome.stem, 3), genome.ends.unshuffle
        if self._unshuffle > 1:
            self.stem = nn.Conv2d(1, genome.stem, 3 * self._unshuffle, self._unshuffle)
        self.cells = nn.ModuleList(
            build_cell(cell, genome.in_channels(i)) for i, cell in enumerate(genome.cells, start=1)
        )
        *before, last = upsampler_convs(genome.ends, genome.in_channels(genome.n + 1))
        self.merge = conv(before[0].inputs, before[0].outputs, 3) if before else None
        self.restore = conv(last.inputs, last.outputs, last.kernel)

    def forward(self, y: Tensor) -> Tensor:
        """Upscale luma by the scale s: (N, 1, H, W) in [0, 1] -> (N, 1, sH, sW), not clipped."""
        # With an unshuffle, all that is (H, W) below is (H / 2, W / 2), rounded up.
        x = y if self._unshuffle == 1 else pad(y, _UNSHUFFLED)
        nodes = {0: conv_relu(self.stem, x)}  # node 0: (N, stem, H, W)
        for target, cell in enumerate(self.cells, start=1):
            # Node i: (N, f_i, H, W).
            nodes[target] = cell(concatenate(nodes, self.genome.inputs(target)))
            for node in self._released[target - 1]:
                del nodes[node]  # frees its memory where no gradients are needed
        x = concatenate(nodes, self.genome.inputs(self.genome.n + 1))
        if self.merge is not None:
            x = conv_relu(self.merge, x)
        if self._skips:
            x = x + nodes[0]  # global skip: (N, stem, H, W)
        if self.merge is None:
            x = self.restore(x)  # (N, s^2, H, W)
            x = pixel_shuffle(x, self.scale * self._unshuffle)
        else:
            # TensorFlow's depth_to_space, which the published weights need: it takes channels as
            # (row, column, c), PyTorch's pixel_shuffle as (c, row, column).
            x = channel_shuffle(x, (self.scale * self._unshuffle) ** 2)
            x = pixel_shuffle(x, self.scale * self._unshuffle)  # (N, stem / s^2, sH, sW)
            x = self.restore(x)
        return x if self._unshuffle == 1 else cropped(x, y, self.scale)


def cropped(x: Tensor, y: Tensor, scale: int) -> Tensor:
    """Return the part of x (N, C, h, w) that is (N, C, sH, sW), the upscaled size of y."""
    return x[..., : scale * y.shape[-2], : scale * y.shape[-1]]


fx.wrap("cropped")  # traced as one call


class BilinearResidual(SuperResolver):
    """The sum of a network and bilinear interpolation, for networks trained on the residual.

    Attributes:
        network: the network that predicts what bilinear interpolation misses.
    """

    planes = 1

    def __init__(self, network: SuperResolver) -> None:
        super().__init__()
        self.network = network
        self.scale = network.scale
        # Three outputs in memory: the network's, the interpolated image, their sum.
        floats = max(network.footprint.floats, 1 + 3 * self.scale**2)
        self.footprint = replace(network.footprint, floats=floats)

    def forward(self, y: Tensor) -> Tensor:
        """Upscale luma by the scale s: (N, 1, H, W) in [0, 1] -> (N, 1, sH, sW), not clipped."""
        output: Tensor = self.network(y)
        return output + interpolate(
            y, scale_factor=self.scale, mode="bilinear", align_corners=False
        )


def without_residual(network: SuperResolver) -> SuperResolver:
    """Return the network inside a :class:`BilinearResidual`, or any other network itself.

    Of a network that another runtime computes, this is the one that it was made from, if any.
    """
    plain = network.network if isinstance(network, BilinearResidual) else network
    return (isinstance(plain, RuntimeNetwork) and plain.origin) or plain


def body_weights(network: Network) -> dict[str, Tensor]:
    """Return the weights of stem and cells by name.

    They fit every network that differs in its upsampler and what this reads alone.
    """
    return {
        name: weight
        for name, weight in network.state_dict().items()
        if name.startswith(("stem.", "cells."))
    }
