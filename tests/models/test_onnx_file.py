"""ONNX files of any origin as networks: what they compute, cost and need, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model, score_table, to_json
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.core.errors import UserError
from falsr_nas.inference.tiling import tile_bytes, upscale
from falsr_nas.models.export import export_model
from falsr_nas.models.layout import Layout
from falsr_nas.models.model_file import Model, load_model, save_model
from falsr_nas.networks.counted_cost import network_cost
from falsr_nas.networks.network import Network
from falsr_nas.networks.runtime_network import NO_TILES, RuntimeNetwork
from falsr_nas.space.genome import Genome

CHAIN = "stem_f4 conv_f4_k3_b2_noskip"


@pytest.fixture(scope="module")
def ours() -> Network:
    torch.manual_seed(0)
    return Network(Genome.parse(CHAIN)).eval()


@pytest.fixture(scope="module")
def luma(ours: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("luma") / "peer.onnx"
    export_model(Model(ours, "peer", {}), path, Layout.y)
    return path


@pytest.fixture(scope="module")
def rgb(ours: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rgb") / "peer.onnx"
    export_model(Model(ours, "peer", {}), path)
    return path


def test_luma_and_rgb_files_are_used_as_what_they_are(ours: Network, luma: Path, rgb: Path) -> None:
    image = torch.randint(0, 256, (3, 30, 21), generator=torch.Generator().manual_seed(0))
    image = image.to(torch.uint8)
    for path, planes in ((luma, 1), (rgb, 3)):
        model = load_model(path)
        assert (model.name, model.network.planes) == ("peer", planes)
        protocols = list(ScoringProtocol) if planes == 1 else [ScoringProtocol.standard]
        for protocol in protocols:
            wanted = super_resolve(ours, image, protocol).int()
            difference = (super_resolve(model.network, image, protocol).int() - wanted).abs()
            assert difference.max() <= 1
            assert (difference > 0).float().mean() < 0.01


def test_cost_and_margin_are_those_of_the_network(ours: Network, luma: Path) -> None:
    network = load_model(luma).network
    assert isinstance(network, RuntimeNetwork)
    assert network.cost == network_cost(ours)
    assert 1 <= network.footprint.margin <= ours.footprint.margin
    assert network.footprint.floats >= ours.footprint.floats // 2


def test_tiles_give_the_same_image(luma: Path) -> None:
    network = load_model(luma).network
    x = torch.rand(1, 1, 60, 50, generator=torch.Generator().manual_seed(0))
    limit = tile_bytes(network.footprint, 30)
    torch.testing.assert_close(upscale(network, x, limit), upscale(network, x), atol=1e-3, rtol=0)


def test_scores(luma: Path, ours: Network, tmp_path: Path) -> None:
    from PIL import Image

    noise = torch.randint(0, 256, (40, 40, 3), dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(tmp_path / "one.png")
    files = {"set": benchmark_files(tmp_path)}
    results = [
        score_model(model, files, ScoringProtocol.falsr)
        for model in (load_model(luma), Model(ours, "ours", {}))
    ]
    assert results[0].sets[0].mean.psnr == pytest.approx(results[1].sets[0].mean.psnr, abs=0.02)
    assert (results[0].params, results[0].mult_adds) == (results[1].params, results[1].mult_adds)


def test_a_network_that_sees_the_whole_image_is_not_cut(tmp_path: Path) -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            larger = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            return larger * 0.9 + 0.1 * x.mean(dim=(2, 3), keepdim=True)

    path = exported(Mean(), tmp_path / "mean.onnx", planes=3)
    network = load_model(path).network
    assert network.footprint.margin == NO_TILES
    x = torch.rand(1, 3, 200, 200)
    assert upscale(network, x).shape == (1, 3, 400, 400)
    with pytest.raises(UserError, match="memory_limit"):
        upscale(network, x, memory_limit=100_000)


def test_unknown_costs_are_shown_as_a_dash(luma: Path, tmp_path: Path) -> None:
    network = load_model(luma).network
    assert isinstance(network, RuntimeNetwork)
    network.cost = None
    from PIL import Image

    Image.new("RGB", (40, 40), (1, 2, 3)).save(tmp_path / "one.png")
    result = score_model(
        Model(network, "peer", {}), {"set": benchmark_files(tmp_path)}, ScoringProtocol.standard
    )
    assert [next(iter(column.cells)) for column in score_table(result).columns][1:3] == ["-", "-"]
    assert to_json(result)["mult_adds"] is None


def test_it_cannot_be_saved_in_another_format(luma: Path, tmp_path: Path) -> None:
    network = load_model(luma).network
    with pytest.raises(UserError, match="no weights that could be saved"):
        save_model(tmp_path / "m.safetensors", network, {})


def exported(module: nn.Module, path: Path, planes: int) -> Path:
    sizes = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    program = torch.onnx.export(
        module.eval(),
        (torch.rand(2, planes, 9, 11),),
        dynamo=True,
        verbose=False,
        opset_version=18,
        dynamic_shapes=(sizes,),
    )
    assert program is not None
    program.save(str(path))
    return path


def graph(
    path: Path,
    *,
    dims: tuple[int | str, ...] = ("n", 1, "h", "w"),
    kind: int = TensorProto.FLOAT,
    factor: float = 2.0,
    gain: float = 1.0,
    inputs: int = 1,
) -> Path:
    """Write a file that enlarges by nearest neighbours and multiplies."""
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, factor, factor])
    weight = helper.make_tensor("gain", TensorProto.FLOAT, [], [gain])
    nodes = [
        helper.make_node("Cast", ["x0"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["float", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Mul", ["large", "gain"], ["y"]),
    ]
    images = [helper.make_tensor_value_info(f"x{i}", kind, dims) for i in range(inputs)]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "H", "W"])
    model = helper.make_model(
        helper.make_graph(nodes, "g", images, [output], [scales, weight]),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.ir_version = 10
    onnx.save(model, path)
    return path


def test_a_hand_made_graph(tmp_path: Path) -> None:
    network = load_model(graph(tmp_path / "m.onnx")).network
    x = torch.rand(1, 1, 5, 6)
    torch.testing.assert_close(network(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize("scale", [3, 4])
def test_the_scale_is_that_of_the_graph(scale: int, tmp_path: Path) -> None:
    network = load_model(graph(tmp_path / "m.onnx", factor=float(scale))).network
    assert network.scale == scale
    assert network(torch.rand(1, 1, 5, 6)).shape == (1, 1, 5 * scale, 6 * scale)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"factor": 5.0}, "the scale must be one of 2, 3, 4"),
        ({"gain": 255.0}, r"makes 128 of a grey of 0\.5: its values must be in \[0, 1\]"),
        ({"dims": ("n", 1, 64, 48)}, "takes images of 48x64 pixels only"),
        ({"dims": ("n", 4, "h", "w")}, r"C of 1 \(luma\) or 3 \(RGB\)"),
        ({"dims": ("h", "w")}, "must be float32"),
        ({"kind": TensorProto.FLOAT16}, "must be float32"),
        ({"inputs": 2}, "has 2 inputs and 1 outputs"),
    ],
)
def test_files_of_another_kind_are_refused(
    changes: dict[str, object], expected: str, tmp_path: Path
) -> None:
    path = graph(tmp_path / "m.onnx", **changes)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=expected) as error:
        load_model(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_damaged_files_are_refused(luma: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    content = luma.read_bytes()
    for damaged in (b"", b"no model", content[: len(content) // 2], os.urandom(500)):
        path.write_bytes(damaged)
        with pytest.raises(UserError) as error:
            load_model(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"none\.onnx"):
        load_model(tmp_path / "none.onnx")


def test_weights_in_other_files_are_not_read(luma: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(
        onnx.load(luma), path, save_as_external_data=True, size_threshold=0, location="weights.bin"
    )
    with pytest.raises(UserError, match="keeps weights in other files"):
        load_model(path)


def in_blocks(path: Path, block: int, *, floors: bool = False) -> Path:
    """Write a file that enlarges by nearest neighbours, by way of squares of pixels as channels.

    It refuses sides that are no multiples of ``block``, or with ``floors``, cuts them to such.
    """
    squares = [helper.make_node("SpaceToDepth", ["x0"], ["squares"], blocksize=block)]
    initializers = [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])]
    if floors:
        sides = {"strides": [block] * 2, "kernel_shape": [block] * 2}
        squares = [helper.make_node("Conv", ["x0", "kernel"], ["squares"], **sides)]
        kernel = np.eye(block**2, dtype=np.float32).reshape(block**2, 1, block, block)
        initializers.append(numpy_helper.from_array(kernel, "kernel"))
    nodes = [
        *squares,
        helper.make_node("DepthToSpace", ["squares"], ["image"], blocksize=block),
        helper.make_node("Resize", ["image", "", "scales"], ["y"], mode="nearest"),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, height, width])
        for name, height, width in (("x0", "h", "w"), ("y", "H", "W"))
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:], initializers),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.ir_version = 10
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("floors", [False, True])
@pytest.mark.parametrize("block", [2, 3, 8, 20])
def test_sides_that_are_no_multiples(
    block: int, floors: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = load_model(in_blocks(tmp_path / "m.onnx", block, floors=floors)).network
    assert network.footprint.step == block
    for height, width in ((1, 1), (block + 1, 2 * block - 1), (37, 50)):
        x = torch.rand(2, 1, height, width)
        torch.testing.assert_close(network(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert capfd.readouterr().err == ""


def test_tiles_of_a_network_with_even_sides_give_the_same_image(tmp_path: Path) -> None:
    class Squares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.PixelUnshuffle(2),
                nn.Conv2d(4, 8, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(8, 16, 3, padding=1),
                nn.PixelShuffle(4),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    torch.manual_seed(0)
    module = Squares().eval()
    torch.onnx.export(
        module,
        (torch.rand(1, 1, 10, 12),),
        str(tmp_path / "m.onnx"),
        dynamo=False,
        dynamic_axes={"x": {2: "h", 3: "w"}, "y": {2: "H", 3: "W"}},
        input_names=["x"],
        output_names=["y"],
    )
    network = load_model(tmp_path / "m.onnx").network
    assert (network.footprint.step, network.footprint.margin) == (2, 4)
    x = torch.rand(1, 1, 61, 50)
    whole = upscale(network, x)
    torch.testing.assert_close(whole[..., :112, :], module(x[..., :60, :])[..., :112, :])
    limit = tile_bytes(network.footprint, 30)
    torch.testing.assert_close(upscale(network, x, limit), whole, atol=1e-4, rtol=0)
