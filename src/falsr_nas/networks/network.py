"""A genome as a network (paper, Figure 1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, relu

from falsr_nas.networks.cells import build_cell, concatenate, conv
from falsr_nas.space.genome import SCALE, Genome


class Network(nn.Module):
    """Stem, n cell blocks, upsampler: the luma plane at twice its size.

    Attributes:
        genome: what this network was built from.
    """

    def __init__(self, genome: Genome) -> None:
        super().__init__()
        self.genome = genome
        self.stem = conv(1, genome.stem, 3)
        self.cells = nn.ModuleList(build_cell(cell, genome.in_channels(i)) for i, cell in enumerate(genome.cells, start=1))
        self.merge = conv(genome.in_channels(genome.n + 1), genome.stem, 3)
        self.restore = conv(genome.stem // SCALE**2, 1, 3)

    def forward(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2H, 2W), luma in [0, 1]; the output is not clipped."""
        nodes = [relu(self.stem(y), inplace=True)]  # node 0: (N, stem, H, W)
        for target, cell in enumerate(self.cells, start=1):
            nodes.append(cell(concatenate(nodes, self.genome.inputs(target))))  # node i: (N, f_i, H, W)
        x = relu(self.merge(concatenate(nodes, self.genome.inputs(self.genome.n + 1))), inplace=True)
        x = pixel_shuffle(x + nodes[0], SCALE)  # global skip: (N, stem / 4, 2H, 2W)
        return self.restore(x)  # type: ignore[no-any-return]
