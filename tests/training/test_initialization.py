import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from falsr_nas.networks.network import BilinearResidual
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.settings import Initialization

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


def test_he_weights_keep_the_size_of_activations() -> None:
    network = initialized_network(
        Genome.parse(" ".join(["conv_f64_k3_b4_noskip"] * 7)), Initialization.he, False, seed=1
    )
    with torch.no_grad():
        first = network.cells[0](torch.rand(1, 32, 48, 48))
        last = first
        for cell in network.cells[1:]:
            last = cell(last)
    assert 0.2 < last.std() / first.std() < 5


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
