"""Initial weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from falsr_nas.networks.cells import layers_that_begin_at_zero
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.training.settings import Initialization

SMALL_START = 0.1
"""Factor of ``scaled_he`` for the stem and the last layers of residual branches (our choice)."""

IDENTITY_GAIN = 0.02
"""Variance of what ``identity`` adds to the identity, as a multiple of He's (our choice). With
0.25, a chain of eleven cells learns more slowly than one of seven (experiments/recipe)."""


def initialized_network(
    genome: Genome, initialization: Initialization, zero_output: bool, seed: int
) -> Network:
    """Build a network with fresh weights, the same for the same seed.

    The CPU's global random generator is not changed.

    Args:
        genome: the network.
        initialization: distribution of the weights.
        zero_output: whether the weights and the bias of the last convolution are 0. Its gradient is
            not, so it moves in the first step, and the layers before it from the second step on.
        seed: of the random numbers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(genome)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                _initialize(layer, initialization)
        if initialization in (Initialization.he, Initialization.scaled_he, Initialization.identity):
            for layer in layers_that_begin_at_zero(network):
                nn.init.zeros_(layer.weight)
    if initialization is Initialization.scaled_he:
        with torch.no_grad():
            network.stem.weight.mul_(SMALL_START)
            for cell in network.cells:
                if (scale_down := getattr(cell, "scale_down", None)) is not None:
                    scale_down(SMALL_START)
    if zero_output:
        nn.init.zeros_(network.restore.weight)
        nn.init.zeros_(_bias(network.restore))
    return network


def _initialize(layer: nn.Conv2d, initialization: Initialization) -> None:
    """Draw the weights of a layer anew."""
    nn.init.zeros_(_bias(layer))
    if initialization is Initialization.normal:
        nn.init.normal_(layer.weight, std=0.02)  # paper, VI-A
        return
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if initialization is Initialization.identity and layer.in_channels == layer.out_channels:
        identity = nn.init.dirac_(torch.empty_like(layer.weight), layer.groups)
        with torch.no_grad():
            layer.weight.mul_(IDENTITY_GAIN**0.5).add_(identity)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None, "every convolution of the family has a bias"
    return layer.bias
