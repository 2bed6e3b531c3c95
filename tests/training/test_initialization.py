import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn
from torch.nn.functional import interpolate, l1_loss

from falsr_nas.cli.config import config_path
from falsr_nas.networks.network import BilinearResidual
from falsr_nas.search.config import SCHEMAS
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.settings import Initialization

ADAM_EPSILON = 1e-8
A, B = PUBLISHED["FALSR-A"], PUBLISHED["FALSR-B"]


def test_the_papers_weights() -> None:
    network = initialized_network(A, Initialization.normal, False, seed=1)
    weights = torch.cat(
        [module.weight.flatten() for module in network.modules() if isinstance(module, nn.Conv2d)]
    )
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(weights.mean().item()) < 1e-4
    assert all(
        (module.bias == 0).all() for module in network.modules() if isinstance(module, nn.Conv2d)
    )


def node_sizes(genome: Genome, initialization: Initialization) -> list[float]:
    """Root mean square of each node's activations, relative to the stem's."""
    network = initialized_network(genome, initialization, False, seed=1)
    y = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        nodes = {0: network.stem(y).relu()}
        for target, cell in enumerate(network.cells, start=1):
            nodes[target] = cell(torch.cat([nodes[i] for i in genome.inputs(target)], dim=1))
    sizes = [node.square().mean().sqrt().item() for node in nodes.values()]
    return [size / sizes[0] for size in sizes]


CHAINS = ("conv_f64_k3_b4_noskip", "conv_f64_k3_b4_isskip", "invertBotConE2_f32_k3_b4_isskip")


@pytest.mark.parametrize("genome", [*PUBLISHED.values(), *CHAINS], ids=str)
def test_scaled_he_keeps_the_size_of_activations(genome: Genome | str) -> None:
    if isinstance(genome, str):
        genome = Genome.parse(" ".join([genome] * 7))
    sizes = node_sizes(genome, Initialization.scaled_he)
    assert min(sizes) > 0.1
    assert max(sizes) < 5


def test_he_does_not_where_residuals_follow_each_other() -> None:
    genome = Genome.parse(" ".join(["invertBotConE2_f32_k3_b4_isskip"] * 7))
    assert max(node_sizes(genome, Initialization.he)) > 100


def test_identity_adds_the_identity_where_widths_agree() -> None:
    network = initialized_network(B, Initialization.identity, False, seed=1)
    square = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d) and layer.in_channels == layer.out_channels
    ]
    assert {layer.groups for layer in square} >= {1, 4, 32}  # plain, grouped and depthwise
    for layer in square:
        identity = nn.init.dirac_(torch.empty_like(layer.weight), layer.groups)
        rest = layer.weight.detach() - identity
        he = (2 / layer.weight[0].numel()) ** 0.5
        assert rest.std().item() == pytest.approx(0.02**0.5 * he, rel=0.2)
        assert abs(rest.mean().item()) < he / 5


def least_gradient(initialization: Initialization) -> float:
    """Smallest root mean square of a convolution's gradient in a network that is hard to train."""
    genome = Genome.parse(" ".join(["groupConG4_f16_k3_b4_noskip"] * 7))
    network = initialized_network(genome, initialization, False, seed=1)
    generator = torch.Generator().manual_seed(2)
    low = torch.rand(4, 1, 16, 16, generator=generator)
    l1_loss(network(low), torch.rand(4, 1, 32, 32, generator=generator)).backward()
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    return min(weight.grad.square().mean().sqrt().item() for weight in weights)


def test_the_papers_incomplete_training_has_gradients_above_adams_epsilon() -> None:
    SCHEMAS.register("search")
    with initialize_config_dir(config_path(), version_base="1.3"):
        config = compose("search", ["training=paper_incomplete"])
    assert not config.training.zero_output
    assert least_gradient(config.training.initialization) > 100 * ADAM_EPSILON
    assert least_gradient(Initialization.normal) < ADAM_EPSILON


def test_he_begins_with_bottlenecks_that_do_nothing() -> None:
    network = initialized_network(B, Initialization.he, False, seed=1)
    x = torch.rand(1, 32, 8, 8)
    cell = network.cells[3]  # invertBotConE2_f32_k3_b4_noskip
    x = torch.rand(1, cell.entry.in_channels, 8, 8)
    with torch.no_grad():
        assert torch.equal(cell(x), cell.entry(x))


@pytest.mark.parametrize("initialization", Initialization)
def test_zero_output_begins_at_interpolation(initialization: Initialization) -> None:
    upscaler = BilinearResidual(initialized_network(B, initialization, True, seed=1))
    y = torch.rand(2, 1, 12, 10)
    assert torch.equal(
        upscaler(y), interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
    )


def test_the_seed_decides_and_nothing_else() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (
        initialized_network(B, Initialization.he, False, seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(first.stem.weight, other.stem.weight)
