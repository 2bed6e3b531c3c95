"""How weights begin."""

from __future__ import annotations

import torch
from torch import nn

from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.training.settings import Initialization


def initialized_network(genome: Genome, initialization: Initialization, zero_output: bool, seed: int) -> Network:
    """The network of a genome with fresh weights, the same for the same seed; the global generator is left as it was.

    With ``zero_output`` the last convolution's weights and bias are 0. Its gradient is not, so it moves at the first step, and what is
    before it from the second on.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(genome)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and initialization is not Initialization.torch:
                _initialize(module, initialization)
    if zero_output:
        nn.init.zeros_(network.restore.weight)
        nn.init.zeros_(network.restore.bias)
    return network


def _initialize(layer: nn.Conv2d, initialization: Initialization) -> None:
    if initialization is Initialization.normal:
        nn.init.normal_(layer.weight, std=0.02)  # paper, VI-A
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None, "every convolution of the family has a bias"
    nn.init.zeros_(layer.bias)
