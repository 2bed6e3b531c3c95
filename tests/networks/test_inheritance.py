from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from falsr_nas.controller.mutation import exploration
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.networks.expansion import expand
from falsr_nas.networks.inheritance import inherit, tensors_of
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.settings import Initialization

SPACE = SearchSpace()
IMAGE = torch.rand(1, 1, 12, 14, generator=torch.Generator().manual_seed(5))
BASE = "conv_f16_k3_b2_isskip invertBotConE2_f16_k1_b1_noskip conv_f24_k3_b1_noskip | 0->2 1->4"


def trained(genome: Genome, seed: int) -> Network:
    """A network with weights and biases that are nowhere zero, as after a training."""
    return initialized_network(genome, Initialization.torch, False, seed)


def child(
    text: str, parent: Network, initialization: Initialization = Initialization.he
) -> Network:
    return inherited(Genome.parse(text), parent, initialization)


def inherited(
    genome: Genome, parent: Network, initialization: Initialization = Initialization.he
) -> Network:
    network = initialized_network(genome, initialization, True, 99)
    tensors = {name: torch.from_numpy(array) for name, array in tensors_of(parent).items()}
    inherit(network, parent.genome, tensors)
    return network


def output(network: Network) -> Tensor:
    with torch.no_grad():
        return network(IMAGE)


@pytest.fixture(scope="module")
def parent() -> Network:
    return trained(Genome.parse(BASE), 7)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_genome_is_the_same_function(seed: int) -> None:
    network = trained(SPACE.sample(np.random.default_rng(seed)), seed)
    assert torch.equal(output(inherited(network.genome, network)), output(network))


@pytest.mark.parametrize("initialization", Initialization)
@pytest.mark.parametrize(
    ("change", "text"),
    {
        "a link": BASE.replace("| 0->2", "| 0->2 0,1->3"),
        "links to the upsampler": BASE.replace("1->4", "0,1,2->4"),
        "channels of a conv": BASE.replace("conv_f24", "conv_f48"),
        "channels of the first cell": BASE.replace("conv_f16_k3_b2", "conv_f32_k3_b2"),
        "channels of a bottleneck": BASE.replace("E2_f16", "E2_f32"),
        "a repeat": BASE.replace("conv_f16_k3_b2", "conv_f16_k3_b4"),
        "a repeat without a residual": BASE.replace("f24_k3_b1", "f24_k3_b2"),
        "a bottleneck": BASE.replace("invertBotConE2_f16_k1_b1", "invertBotConE2_f16_k1_b2"),
        "expansion": BASE.replace("invertBotConE2", "invertBotConE4"),
        "a larger kernel": BASE.replace("f16_k3_b2", "f16_k5_b2"),
        "a larger kernel in a bottleneck": BASE.replace("f16_k1_b1", "f16_k3_b1"),
    }.items(),
)  # fmt: skip
def test_additions_do_not_change_the_output(
    parent: Network, change: str, text: str, initialization: Initialization
) -> None:
    network = child(text, parent, initialization)
    assert network.genome != parent.genome
    assert torch.allclose(output(network), output(parent), atol=1e-5), change


@pytest.mark.parametrize("upsampler", ["subpixel_x2", "subpixel_x3", "progressive_x4"])
def test_a_link_does_not_change_the_output_of_other_upsamplers(upsampler: str) -> None:
    text = BASE.replace(" |", f" {upsampler} |")
    parent = trained(Genome.parse(text), 2)
    network = child(text.replace("1->4", "0,1,2->4"), parent)
    assert torch.allclose(output(network), output(parent), atol=1e-5)


def test_weights_of_expanded_convolutions_are_those_of_the_plain_network() -> None:
    plain = trained(Genome.parse(BASE), 7)
    expanded = trained(Genome.parse(BASE), 7)
    expand(expanded, 64, seed=1)
    mine, theirs = tensors_of(expanded), tensors_of(plain)
    assert mine.keys() == theirs.keys()
    assert all(np.allclose(mine[name], theirs[name], atol=1e-6) for name in mine)
    assert torch.allclose(output(inherited(plain.genome, expanded)), output(plain), atol=1e-5)


def test_joined_groups_do_not_change_the_output() -> None:
    grouped = trained(Genome.parse(BASE.replace("conv_f24", "groupConG4_f24")), 3)
    for operator in ("groupConG2", "conv"):
        joined = child(BASE.replace("conv_f24", f"{operator}_f24"), grouped)
        assert torch.allclose(output(joined), output(grouped), atol=1e-5)


def test_where_groups_shift_lost_connections_become_initial_weights() -> None:
    text = "conv_f16_k3_b1_noskip groupConG4_f16_k3_b1_noskip |"
    grouped = trained(Genome.parse(text), 3)
    shifted = child(f"{text} 0->2", grouped)
    weight = tensors_of(shifted)["cells.1.layers.0.weight"]
    assert weight.any(axis=(1, 2, 3)).sum() > 4  # the last group alone reads node 1, as before
    split = child(text.replace("G4", "G8"), grouped)
    theirs = tensors_of(grouped)["cells.1.layers.0.weight"]
    assert np.array_equal(tensors_of(split)["cells.1.layers.0.weight"][:2], theirs[:2, :2])


def test_what_was_added_can_be_trained(parent: Network) -> None:
    """Nothing that is new is dead: after two steps all of its weights have moved."""
    network = child(
        "conv_f32_k3_b4_isskip invertBotConE4_f16_k3_b2_noskip conv_f48_k3_b2_noskip | 0->2 0,1->4",
        parent,
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (network(IMAGE) - 0.5).abs().mean().backward()
        optimizer.step()
    for name, value in network.state_dict().items():
        moved = (value != before[name]).float().mean()
        assert moved > 0.5, name


def test_a_removed_link_leaves_all_other_weights(parent: Network) -> None:
    network = child(BASE.replace("| 0->2 1->4", "| 1->4"), parent)
    mine, theirs = tensors_of(network), tensors_of(parent)
    different = {name for name in mine if not np.array_equal(mine[name], theirs[name])}
    assert different == {"cells.1.entry.weight"}
    # The second cell read node 0 (32 channels), then node 1.
    assert np.array_equal(mine["cells.1.entry.weight"], theirs["cells.1.entry.weight"][:, 32:])


def test_consumers_of_a_new_cell_keep_their_weights_by_position(parent: Network) -> None:
    network = child(BASE.replace("invertBotConE2_f16_k1_b1", "conv_f24_k3_b1"), parent)
    mine, theirs = tensors_of(network), tensors_of(parent)
    weight = mine["cells.2.layers.0.weight"]
    assert np.array_equal(weight[:, :16], theirs["cells.2.layers.0.weight"])
    assert not weight[:, 16:].any()


@pytest.mark.parametrize("seed", range(12))
def test_any_two_networks_give_a_sensible_child(seed: int) -> None:
    """Mutants of a network, and networks that have nothing to do with it."""
    rng = np.random.default_rng(seed)
    parent = initialized_network(SPACE.sample(rng), Initialization.he, False, seed)
    mutations = exploration(NSGA2Settings().exploration, SPACE)
    genomes = [mutate(parent.genome, rng).genome for _, mutate in mutations.values()]
    genomes += [SPACE.sample(rng), SPACE.sample(rng)]
    scale = output(parent).abs().mean()
    for genome in genomes:
        for initialization in (Initialization.he, Initialization.scaled_he):
            made = output(inherited(genome, parent, initialization))
            assert torch.isfinite(made).all()
            assert made.abs().mean() < 100 * scale


def test_another_number_of_cells_and_another_stem(parent: Network) -> None:
    genome = parent.genome
    wide = replace(genome, ends=replace(genome.ends, stem=48))
    other_end = replace(genome, ends=replace(genome.ends, upsampler="subpixel"))
    shorter = Genome.parse("conv_f16_k3_b2_isskip conv_f8_k3_b1_noskip | 0->3")
    longer = Genome.parse(BASE.replace(" |", " conv_f16_k3_b1_noskip |"))
    for other in (wide, other_end, shorter, longer):
        assert torch.isfinite(output(inherited(other, parent))).all()
