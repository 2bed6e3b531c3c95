"""How weights begin."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from falsr_nas.networks.cells import InvertedBottleneck
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.training.settings import Initialization


def initialized_network(
    genome: Genome, initialization: Initialization, zero_output: bool, seed: int
) -> Network:
    """The network of a genome with fresh weights, the same for the same seed; the global generator is left as it was.

    With ``zero_output`` the last convolution's weights and bias are 0. Its gradient is not, so it moves at the first step, and what is
    before it from the second on.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(genome)  # PyTorch's own initialisation
        if initialization is Initialization.normal:
            _initialize_convolutions(
                network, lambda weight: nn.init.normal_(weight, std=0.02)
            )  # paper, VI-A
        if initialization is Initialization.he:
            _initialize_convolutions(
                network, lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu")
            )
            for block in network.modules():
                if isinstance(block, InvertedBottleneck):
                    nn.init.zeros_(block.project.weight)
    if zero_output:
        nn.init.zeros_(network.restore.weight)
        nn.init.zeros_(_bias(network.restore))
    return network


def _initialize_convolutions(network: nn.Module, weights: Callable[[Tensor], Tensor]) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            weights(module.weight)
            nn.init.zeros_(_bias(module))


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None, "every convolution of the family has a bias"
    return layer.bias
