"""Tiles equal the whole image, and colours follow the protocols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from falsr_nas.benchmark.image_quality import quantise
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.core.errors import UserError
from falsr_nas.inference.threads import side_by_side
from falsr_nas.inference.tiling import tile_size, tiles, upscale
from falsr_nas.networks.bicubic import Bicubic, bicubic
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.ends import BICUBIC
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace

CELLS = "conv_f8_k3_b2_isskip groupConG4_f8_k3_b1_noskip"


def networks() -> dict[str, SuperResolver]:
    torch.manual_seed(0)
    space = SearchSpace(n=3, channels=(8, 16), repeats=(1, 2))
    found = {f"random {i}": Network(space.sample(np.random.default_rng(i))) for i in range(6)}
    return {
        **found,
        "residual": BilinearResidual(found["random 0"]),
        **{
            name: BilinearResidual(
                Network(Genome.parse(f"stem_f{stem} {CELLS} {name} | 0->2 0->3"))
            )
            for stem, name in (
                (8, "subpixel_x2"),
                (36, "paper_x3"),
                (12, "subpixel_x3"),
                (16, "paper_x4"),
                (12, "subpixel_x4"),
            )
        },
        **{
            f"unshuffled {name}": Network(Genome.parse(f"stem_f16_u2 {CELLS} {name}"))
            for name in ("paper_x2", "skipsubpixel_x2", "subpixel_x3")
        },
        **{name: Bicubic(scale) for name, scale in BICUBIC.items()},
    }


NETWORKS = networks()


class NearestNeighbour(SuperResolver):
    """A luma network with a known result, to test colours alone."""

    planes = 1
    footprint = Footprint(margin=0, floats=5)

    def forward(self, y: Tensor) -> Tensor:
        return y.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(90, 37), (41, 120)])
def test_tiled_equals_whole(name: str, size: tuple[int, int]) -> None:
    network = NETWORKS[name].eval()
    x = torch.rand(1, network.planes, *size, generator=torch.Generator().manual_seed(1))
    side = 2 * network.footprint.margin + 7 + 3 * (network.footprint.step - 1)
    limit = 10 * network.footprint.floats * side**2
    shapes: list[tuple[int, ...]] = []
    hook = network.register_forward_pre_hook(
        lambda module, inputs: shapes.append(tuple(inputs[0].shape))
    )
    tiled = upscale(network, x, limit)
    hook.remove()
    assert len(shapes) > 1
    assert all(10 * network.footprint.floats * h * w <= limit for _, _, h, w in shapes)
    torch.testing.assert_close(tiled, upscale(network, x), rtol=0, atol=1e-5)


def test_an_image_that_fits_runs_once() -> None:
    calls = []
    network = Bicubic()
    network.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    upscale(network, torch.rand(1, 3, 50, 40), 10 * network.footprint.floats * 50 * 40)
    assert len(calls) == 1


def test_tile_size() -> None:
    point = Footprint(margin=2, floats=4)
    assert tile_size(point, 100, 100, 40 * 10_000) == (100, 100)
    assert tile_size(point, 100, 100, 40 * 9_999) == (99, 100)
    assert tile_size(point, 1000, 20, 40 * 400) == (20, 20)
    assert tile_size(point, 100, 100, 40 * 25) == (5, 5)
    assert tile_size(point, 3, 100, 40 * 25) == (3, 8)  # the whole height, so no margins there
    for height, width, limit in (
        (100, 100, 40 * 24),
        (3, 100, 40 * 12),
        (100, 3, 40 * 12),
        (9, 9, 0),
    ):
        with pytest.raises(UserError, match="memory_limit is"):
            tile_size(point, height, width, limit)


@pytest.mark.parametrize("name", ["random 1", "random 2", "residual"])
def test_self_ensemble_is_the_mean_of_eight_views(name: str) -> None:
    network = NETWORKS[name].eval()
    x = torch.rand(1, 1, 9, 12, generator=torch.Generator().manual_seed(2))
    views = []
    for transposed in (False, True):
        for dims in ((), (-1,), (-2,), (-2, -1)):
            view = (x.mT if transposed else x).flip(dims)
            output = upscale(network, view).flip(dims)
            views.append(output.mT if transposed else output)
    torch.testing.assert_close(
        upscale(network, x, self_ensemble=True), torch.stack(views).mean(dim=0), rtol=0, atol=1e-6
    )


def test_self_ensemble_does_not_depend_on_orientation() -> None:
    network = NETWORKS["random 3"].eval()
    x = torch.rand(1, 1, 8, 8)
    ensemble = upscale(network, x, self_ensemble=True)
    torch.testing.assert_close(
        upscale(network, x.mT, self_ensemble=True), ensemble.mT, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_side_by_side_keeps_the_order_and_raises_errors(workers: int) -> None:
    threads = torch.get_num_threads()
    assert list(side_by_side(lambda i: i * i, range(20), workers)) == [i * i for i in range(20)]
    done: list[int] = []

    def fail(i: int) -> int:
        if i == 3:
            raise UserError("three")
        done.append(i)
        return i

    with pytest.raises(UserError, match="three"):
        list(side_by_side(fail, range(1000), workers))
    assert len(done) < 1000
    assert torch.get_num_threads() == threads


def random_image(height: int = 12, width: int = 10) -> Tensor:
    return torch.randint(
        0, 256, (3, height, width), generator=torch.Generator().manual_seed(3), dtype=torch.uint8
    )


def test_grey_stays_grey_and_exact() -> None:
    grey = random_image()[:1].expand(3, -1, -1)
    expected = grey.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(super_resolve(NearestNeighbour(), grey, ScoringProtocol.standard), expected)


def test_standard_protocol_interpolates_chroma() -> None:
    """With bicubic luma the result is bicubic RGB: the colour conversion is linear."""

    class BicubicLuma(NearestNeighbour):
        def forward(self, y: Tensor) -> Tensor:
            return bicubic(y)

    image = random_image()
    output = super_resolve(BicubicLuma(), image, ScoringProtocol.standard)
    expected = super_resolve(Bicubic(), image, ScoringProtocol.standard)
    # The two matrices are inverses to five digits only.
    assert (output.int() - expected.int()).abs().max() <= 1


def test_falsr_colours_are_those_of_the_authors_script() -> None:
    """The script in NumPy: YPbPr of scikit-image, bicubic of Pillow, JPEG constants, truncation."""
    skimage_color = pytest.importorskip("skimage.color")
    image = random_image()
    pixels = image.permute(1, 2, 0).numpy()
    y = skimage_color.rgb2ypbpr(pixels / 255)[..., 0].repeat(2, 0).repeat(2, 1) * 255
    larger = np.asarray(Image.fromarray(pixels).resize((20, 24), Image.Resampling.BICUBIC))
    pb, pr = np.moveaxis((skimage_color.rgb2ypbpr(larger / 255)[..., 1:] + 0.5) * 255 - 128, -1, 0)
    rgb = np.stack([y + 1.402 * pr, y - 0.34414 * pb - 0.71414 * pr, y + 1.772 * pb])
    expected = np.clip(rgb, 0, 255).astype(np.uint8)
    output = super_resolve(NearestNeighbour(), image, ScoringProtocol.falsr).numpy()
    assert (
        np.mean(output != expected) < 0.002
    )  # float32 and float64 truncate differently near integers
    assert np.abs(output.astype(int) - expected).max() <= 1


def test_rgb_networks_get_rgb() -> None:
    image = random_image()
    expected = quantise(255 * bicubic(image[None] / 255), ScoringProtocol.standard)[0]
    assert torch.equal(super_resolve(Bicubic(), image, ScoringProtocol.standard), expected)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc"
)
def test_peak_memory_is_within_the_estimate(tmp_path: Path) -> None:
    """Measure the peak memory of a forward pass, copies within kernels included."""
    import subprocess
    import sys

    script = tmp_path / "measure.py"
    script.write_text(
        "import re, sys, torch\n"
        "from falsr_nas.inference.memory import keep_freed_memory\n"
        "from falsr_nas.networks.network import Network\n"
        "from falsr_nas.space.genome import Genome\n"
        "def peak():\n"
        "    status = open('/proc/self/status').read()\n"
        "    return 1024 * int(re.search(r'VmHWM:\\s*(\\d+)', status)[1])\n"
        "keep_freed_memory()\n"
        "network = Network(Genome.parse(sys.argv[1])).eval()\n"
        "with torch.inference_mode():\n"
        "    network(torch.rand(1, 1, 32, 32))\n"
        "    before = peak()\n"
        "    network(torch.rand(1, 1, 400, 400))\n"
        "print(peak() - before, 10 * network.footprint.floats * 400**2)\n"
    )
    for genome in [*PUBLISHED.values(), SearchSpace(n=4).sample(np.random.default_rng(0))]:
        output = subprocess.run(
            [sys.executable, str(script), str(genome)], capture_output=True, text=True, check=True
        ).stdout
        measured, bound = map(float, output.split())
        assert bound / 4 < measured <= bound


@pytest.mark.parametrize("margin", [0, 1, 5])
def test_tiles_have_one_size_and_keep_only_complete_pixels(margin: int) -> None:
    """For all sizes: tiles cover the image once, fit, and keep no pixel affected by the cuts."""
    footprint = Footprint(margin, floats=1)
    for length in range(1, 40):
        for tile in range(2 * margin + 1, 45):
            found = tiles(footprint, length, 1, 10 * tile)
            assert len({one.source[0].stop - one.source[0].start for one in found}) == 1
            end = 0
            for one in found:
                (source, _), (kept, _), (target, _) = one.source, one.kept, one.target
                assert source.stop - source.start <= tile
                assert target.start == end < target.stop
                assert target.start - kept.start == target.stop - kept.stop == 2 * source.start
                assert source.start == 0 or kept.start >= 2 * margin
                assert source.stop == length or kept.stop <= 2 * (
                    source.stop - source.start - margin
                )
                end = target.stop
            assert end == 2 * length
