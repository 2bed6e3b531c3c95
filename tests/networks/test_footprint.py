"""Footprints agree with measurements of the receptive field and of the tensors in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.networks.footprint import footprint, released
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.ends import BICUBIC
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace
from live_tensors import LiveTensors

SIDE = 24

NETWORKS: dict[str, Callable[[], SuperResolver]] = {
    **{name: lambda scale=scale: Bicubic(scale) for name, scale in BICUBIC.items()},
    **{name: lambda genome=genome: Network(genome) for name, genome in PUBLISHED.items()},
    **{
        f"random {i}": lambda i=i: Network(SearchSpace(n=5).sample(np.random.default_rng(i)))
        for i in range(12)
    },
    "residual": lambda: BilinearResidual(Network(Genome.parse("stem_f4 conv_f4_k1_b1_noskip"))),
    "residual x4": lambda: BilinearResidual(
        Network(Genome.parse("stem_f4 conv_f4_k1_b1_noskip subpixel_x4"))
    ),
    **{
        name: lambda name=name: Network(Genome.parse(name))
        for name in [
            f"stem_f{stem} conv_f16_k3_b2_isskip conv_f8_k3_b1_noskip {upsampler} | 0->2{link}"
            for stem, upsampler in (
                (12, "subpixel_x2"),
                (36, "subpixel_x3"),
                (16, "subpixel_x4"),
                (18, "paper_x3"),
                (16, "paper_x4"),
            )
            for link in ("", " 0,1->3")
        ]
    },
    **{
        f"long skip {cells}": lambda cells=cells: Network(Genome.parse(cells))
        for cells in (
            "stem_f8 conv_f8_k1_b1_noskip skipsubpixel_x2",
            "stem_f16 conv_f4_k3_b1_noskip conv_f16_k3_b2_isskip skipsubpixel_x3",
            "stem_f16 conv_f4_k1_b1_noskip skipsubpixel_x2",  # of other widths: no skip
            "stem_f8_u2 conv_f8_k1_b1_noskip skipsubpixel_x2",
            "stem_f16_u2 conv_f8_k3_b2_isskip conv_f16_k3_b1_noskip subpixel_x3",
            "stem_f16_u2 invertBotConE2_f8_k3_b1_noskip conv_f16_k3_b1_noskip",
        )
    },
}


def assert_margin_of_squares(network: SuperResolver, margin: int) -> None:
    """One pixel of a 2x2 square is seen from as far away, none from farther."""
    first, away = margin + margin % 2, []
    for row in (first, first + 1):
        x = torch.rand(1, 1, 2 * first + 4, 2 * first + 4)
        x[..., row, row] = torch.nan
        with torch.no_grad():
            rows, columns = torch.isnan(network(x))[0, 0].nonzero().T // network.scale
        away += [row - int(rows.min()), int(rows.max()) - row]
        assert (int(rows.min()), int(rows.max())) == (int(columns.min()), int(columns.max()))
    assert max(away) == margin


@pytest.mark.parametrize("name", NETWORKS)
def test_margin_is_the_receptive_field(name: str) -> None:
    network = NETWORKS[name]().eval()
    margin = network.footprint.margin
    x = torch.rand(1, network.planes, 2 * margin + 5, 2 * margin + 7)
    centre = margin + 2
    if network.footprint.step == 2:
        assert_margin_of_squares(network, margin)
        return
    x[..., centre, centre + 1] = torch.nan  # all outputs that depend on it become NaN
    with torch.no_grad():  # the fused kernels of inference mode turn NaN into 0
        rows, columns = torch.isnan(network(x)).any(dim=1)[0].nonzero().T // network.scale
    assert (int(rows.min()), int(rows.max())) == (centre - margin, centre + margin)
    assert (int(columns.min()), int(columns.max())) == (centre + 1 - margin, centre + 1 + margin)


@pytest.mark.parametrize("name", NETWORKS)
def test_floats_are_the_most_in_memory(name: str) -> None:
    network = NETWORKS[name]().eval()
    x = torch.rand(1, network.planes, SIDE, SIDE)
    with torch.inference_mode(), LiveTensors() as tensors:
        network(x)
    measured = tensors.most / SIDE**2
    assert measured <= network.footprint.floats <= 1.1 * measured + 5


def test_nodes_are_released_after_their_last_reader() -> None:
    cell = "conv_f8_k1_b1_noskip"
    genome = Genome.parse(f"stem_f32 {cell} {cell} {cell} {cell} | 0->3 1->4 0,2->5")
    assert released(genome) == ((), (), (), (1, 3))
    assert released(Genome.parse(f"{cell} {cell}")) == ((), (1,))


def test_releasing_nodes_saves_memory() -> None:
    chain = " ".join(["conv_f64_k1_b1_noskip"] * 7)
    assert (
        footprint(Genome.parse(chain)).floats
        < footprint(Genome.parse(f"{chain} | 1,2,3,4,5,6->8")).floats
    )
