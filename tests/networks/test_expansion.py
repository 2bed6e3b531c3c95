import copy

import numpy as np
import pytest
import torch
from torch import nn

from falsr_nas.networks.expansion import ExpandedConv, expand, merged_weights
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.settings import Initialization

GENOMES = [PUBLISHED["FALSR-B"], *(SearchSpace().sample(np.random.default_rng(i)) for i in (1, 2))]


def network_of(genome: Genome) -> Network:
    return initialized_network(genome, Initialization.he, False, seed=1)


def output(network: Network) -> torch.Tensor:
    y = torch.rand(2, 1, 12, 9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        result: torch.Tensor = network(y)
    return result


def trained(genome: Genome, width: int = 32) -> Network:
    """Return an expanded network after a step that changes every expanded kernel."""
    network = network_of(genome)
    expand(network, width, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    network(torch.rand(2, 1, 8, 8)).square().mean().backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return network


@pytest.mark.parametrize("genome", GENOMES, ids=str)
def test_expansion_does_not_change_the_output(genome: Genome) -> None:
    network = network_of(genome)
    before = output(network)
    expand(network, 32, seed=1)
    torch.testing.assert_close(output(network), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("genome", GENOMES, ids=str)
def test_the_merged_network_is_plain_and_computes_the_same(genome: Genome) -> None:
    network = trained(genome)
    expected, plain = output(network), network_of(genome)
    assert not torch.allclose(expected, output(plain), atol=1e-5)  # the step did something
    loaded = Network(genome)
    loaded.load_state_dict(merged_weights(network.state_dict()))
    torch.testing.assert_close(output(loaded), expected, rtol=1e-5, atol=1e-5)
    assert loaded.state_dict().keys() == plain.state_dict().keys()


def test_grouped_kernels_stay_block_diagonal() -> None:
    """The kernel of a grouped convolution is the product of its own group's matrices only."""
    network = network_of(Genome.parse(" ".join(["groupConG4_f16_k3_b1_noskip"] * 7)))
    expand(network, 32, seed=1)
    layer = network.cells[1].layers[0]  # type: ignore[union-attr, index]
    assert isinstance(layer, ExpandedConv)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.narrow[0] *= 2
    changed = (layer.weight - before).abs().flatten(1).amax(1) > 0
    assert changed.tolist() == [True] * 4 + [False] * 12


def test_stem_restore_depthwise_and_project_stay_plain() -> None:
    network = network_of(PUBLISHED["FALSR-B"])
    expand(network, 32, seed=1)
    modules = dict(network.named_modules())
    expanded = {name for name, layer in modules.items() if isinstance(layer, ExpandedConv)}
    plain = {name for name, layer in modules.items() if isinstance(layer, nn.Conv2d)}
    assert {"stem", "restore"} <= plain
    assert all(name.endswith(("stem", "restore", "depthwise", "project")) for name in plain)
    assert any(name.endswith("expand") for name in expanded)


def test_equal_layers_of_two_networks_get_equal_matrices() -> None:
    """They do not depend on the rest of the network, nor on the global generator."""
    cells = ["conv_f16_k3_b1_noskip"] * 7
    other = ["conv_f64_k3_b4_noskip", *cells[1:]]
    first, second = (network_of(Genome.parse(" ".join(text))) for text in (cells, other))
    state = torch.random.get_rng_state()
    expand(first, 32, seed=1)
    expand(second, 32, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    name = "cells.4.layers.0.wide"
    assert torch.equal(first.state_dict()[name], second.state_dict()[name])


def test_a_copy_is_independent() -> None:
    """The moving average of a training is a deep copy of its expanded network."""
    network = trained(GENOMES[0])
    average = copy.deepcopy(network)
    expected = output(average)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert torch.equal(output(average), expected)


@pytest.mark.parametrize("change", ["missing", "shape", "groups"])
def test_damaged_weights_are_rejected(change: str) -> None:
    weights = trained(GENOMES[0]).state_dict()
    name = next(name for name in weights if name.endswith(".wide"))
    if change == "missing":
        del weights[name]
    elif change == "shape":
        weights[name] = weights[name][..., :-1]
    else:
        weights[name] = weights[name].repeat(2, 1, 1)
    with pytest.raises(ValueError, match="convolution|fit together"):
        merged_weights(weights)


def test_kernels_are_merged_together_as_alone() -> None:
    """Layers of one shape, grouped ones included, get the kernels and gradients of their own."""
    text = "groupConG4_f16_k3_b2_noskip conv_f16_k3_b2_noskip conv_f16_k3_b1_noskip subpixel_x2"
    together = trained(Genome.parse(f"stem_f16 {text}"))
    alone = copy.deepcopy(together)
    alone._forward_pre_hooks.clear()
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
        gradients = []
        for network in (together, alone):
            with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
                loss = network(torch.linspace(0, 1, 128).view(2, 1, 8, 8)).float().square().mean()
            gradients.append(torch.autograd.grad(loss, list(network.parameters())))
        torch.testing.assert_close(*gradients, rtol=bound, atol=bound)
    assert not any(getattr(layer, "merged", None) for layer in together.modules())
