"""ncnn's pair of files: in upscayl's form, run by ncnn's own runtime."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from exported_files import read_exported
from falsr_nas.models.export import TOLERANCE, RgbUpscaler, export_model
from falsr_nas.models.layout import Layout
from falsr_nas.models.model_file import Model, find_model
from falsr_nas.models.ncnn_files import check_upscayl_name, tidy
from falsr_nas.models.portable import ExportError
from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.ends import BICUBIC
from falsr_nas.space.genome import Genome

ncnn = pytest.importorskip("ncnn", reason="ncnn and pnnx are not installed")
pytest.importorskip("pnnx", reason="ncnn and pnnx are not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

EVERY = (
    "stem_f8 invertBotConE2_f8_k3_b2_isskip groupConG4_f8_k3_b2_isskip"
    " conv_f8_k1_b1_noskip | 0->2 0,1->3 0,2->4"
)


def network(name: str) -> SuperResolver:
    torch.manual_seed(0)
    if name in BICUBIC:
        return Bicubic(BICUBIC[name]).eval()
    built = Network(Genome.parse(EVERY))
    return (BilinearResidual(built) if name == "residual" else built).eval()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "every-x2.param"
    assert export_model(Model(network("residual"), "every", {}), path) <= TOLERANCE
    return path


def test_ncnn_computes_the_same_at_any_size(pair: Path) -> None:
    run, wanted = read_exported(pair), RgbUpscaler(network("residual"))
    for n, height, width in ((1, 8, 8), (2, 7, 31), (1, 40, 9)):
        x = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.inference_mode():
            torch.testing.assert_close(run(x), wanted(x), rtol=0, atol=TOLERANCE)


def test_upscayl_finds_the_names_and_the_scale(pair: Path) -> None:
    """As upscayl-ncnn does: blobs by name, RGB planes of [0, 1] in, x2 out."""
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    assert net.load_param(str(pair)) == 0
    assert net.load_model(str(pair.with_suffix(".bin"))) == 0
    assert (net.input_names(), net.output_names()) == (["data"], ["output"])
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    image = ncnn.Mat.from_pixels(pixels, ncnn.Mat.PixelType.PIXEL_RGB, 12, 10)
    image.substract_mean_normalize([], [1 / 255] * 3)
    extractor = net.create_extractor()
    extractor.input("data", image)
    _, output = extractor.extract("output")
    assert np.array(output).shape == (3, 20, 24)
    levels = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        wanted = RgbUpscaler(network("residual"))(levels)[0].numpy()
    np.testing.assert_allclose(np.array(output), wanted, atol=TOLERANCE)


def test_the_luma_alone(tmp_path: Path) -> None:
    path = tmp_path / "luma-2x.param"
    assert export_model(Model(network("plain"), "m", {}), path, Layout.y) <= TOLERANCE
    assert read_exported(path)(torch.rand(1, 1, 9, 8)).shape == (1, 1, 18, 16)


def test_only_layers_of_ncnn_are_left(pair: Path) -> None:
    magic, counts, *lines = pair.read_text().splitlines()
    layers = [line.split() for line in lines]
    assert magic == "7767517"
    assert counts.split() == [str(len(layers)), str(sum(int(layer[3]) for layer in layers))]
    assert all(layer[0].isalnum() for layer in layers)
    shuffles = [layer[-1] for layer in layers if layer[0] == "PixelShuffle"]
    assert sorted(shuffles) == ["1=0", "1=1"]  # chroma; the network, in TensorFlow's order


def test_a_network_that_ncnn_cannot_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bicubic-x2.param"
    with pytest.raises(ExportError, match="no operator for aten::_upsample_bicubic2d_aa of this"):
        export_model(find_model("bicubic"), path)
    assert not list(tmp_path.iterdir())


def test_another_shuffle_of_channels_is_refused(pair: Path) -> None:
    param = "\n".join(
        [
            "7767517",
            "4 4",
            "Input in0 0 1 in0",
            "pnnx.Expression groups 0 1 1",
            "aten::channel_shuffle shuffle 2 1 in0 1 2",
            "PixelShuffle pixels 1 1 2 out0 0=2 1=0",
        ]
    )
    graph = "pnnx.Expression groups 0 1 5 expr={}\n"
    assert "PixelShuffle" in tidy(param, graph.format(4))
    assert "channel_shuffle" not in tidy(param, graph.format(4))
    with pytest.raises(ExportError, match="channel shuffle"):
        tidy(param, graph.format(2))


@pytest.mark.parametrize("name", ["m-x2", "2x_m", "M-X2"])
def test_names_that_upscayl_reads_as_x2(name: str) -> None:
    check_upscayl_name(Path("models") / f"{name}.param", scale=2)


@pytest.mark.parametrize("name", ["m", "m-x4", "x2-then-x4", "1x2", "net4x2"])
def test_names_that_upscayl_reads_as_another_scale(name: str) -> None:
    message = re.escape(f"{name}.param: upscayl reads the scale from the name")
    with pytest.raises(ExportError, match=message):
        check_upscayl_name(Path("models") / f"{name}.param", scale=2)


def test_missing_packages_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from falsr_nas.models import portable

    found = portable.find_spec
    monkeypatch.setattr(portable, "find_spec", lambda name: None if name == "pnnx" else found(name))
    with pytest.raises(ExportError, match=r"needs pnnx: pip install 'falsr-nas\[ncnn\]'"):
        export_model(Model(network("plain"), "m", {}), tmp_path / "m-x2.param")
