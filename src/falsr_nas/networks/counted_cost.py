"""Parameters and mult-adds counted on built networks.

Mult-adds are those of the convolutions, for 960x960 output. For genomes
:func:`falsr_nas.space.cost.genome_cost` gives the same numbers without building the network.

Networks are counted on PyTorch's meta device: nothing is allocated and nothing is computed.
"""

from __future__ import annotations

from copy import deepcopy

import torch

from falsr_nas.networks.network import Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.cost import Cost, input_side
from falsr_nas.space.genome import Genome


def network_cost(network: SuperResolver) -> Cost:
    """Count a network's parameters and mult-adds with PyTorch's ``FlopCounterMode``.

    A transposed convolution counts by the products that it needs. Of FSRCNN, for example, thop and
    the literature count one product per tap and output pixel, which is twice as many in all.
    """
    from torch.utils.flop_counter import FlopCounterMode

    side = input_side(network.scale)
    image = torch.empty(1, network.planes, side, side, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        deepcopy(network).to("meta")(image)
    params = sum(parameter.numel() for parameter in network.parameters())
    return Cost(params, counter.get_total_flops() // 2)


def thop_cost(genome: Genome) -> Cost:
    """Count the parameters and mult-adds of a genome's network with thop (pytorch-OpCounter)."""
    import thop

    with torch.device("meta"):
        side = input_side(genome.scale)
        network, image = Network(genome), torch.empty(1, 1, side, side)
    mult_adds, params = thop.profile(network, (image,), verbose=False)
    return Cost(int(params), int(mult_adds))
