"""Exported models agree with PyTorch at any size, and are not written where they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from exported_files import read_exported
from falsr_nas import export
from falsr_nas.benchmark.image_quality import quantise
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.core.errors import UserError
from falsr_nas.inference.tiling import upscale
from falsr_nas.models import export as portable
from falsr_nas.models import portable as shared
from falsr_nas.models.export import (
    FORMATS,
    TOLERANCE,
    BicubicConvolution,
    Format,
    RgbUpscaler,
    export_model,
    to_torchscript,
)
from falsr_nas.models.layout import Layout
from falsr_nas.models.model_file import Model, load_model, save_model
from falsr_nas.models.portable import ExportError, Runner
from falsr_nas.networks.bicubic import Bicubic, bicubic
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED

GENOMES = {
    "all operators": "stem_f8 invertBotConE2_f8_k3_b2_isskip groupConG4_f8_k3_b2_isskip"
    " conv_f8_k1_b1_noskip | 0->2 0,1->3 0,2->4",
    "bottlenecks": "stem_f16 invertBotConE2_f16_k1_b1_isskip invertBotConE2_f16_k3_b2_noskip"
    " | 0->3",
    "chain": "stem_f4 conv_f4_k3_b2_isskip",
    "subpixel": "stem_f4 conv_f4_k3_b1_isskip subpixel_x2",
    "long skip": "stem_f4 conv_f8_k1_b1_noskip conv_f4_k3_b1_isskip skipsubpixel_x2",
    "unshuffled": "stem_f16_u2 conv_f4_k3_b2_isskip groupConG2_f16_k1_b1_noskip",
    "unshuffled long skip": "stem_f4_u2 conv_f4_k3_b1_isskip skipsubpixel_x2",
}
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

SIZES = ((1, 8, 8), (2, 7, 31), (1, 1, 1), (5, 3, 2))


def network(name: str) -> SuperResolver:
    torch.manual_seed(0)
    if name == "residual":
        return BilinearResidual(Network(Genome.parse(GENOMES["all operators"]))).eval()
    return (Network(Genome.parse(GENOMES[name])) if name in GENOMES else Bicubic()).eval()


def model(name: str) -> Model:
    return Model(network(name), name, {"source": "a test"})


def assert_agrees(run: Runner, wanted: nn.Module, planes: int) -> None:
    for n, height, width in SIZES:
        x = torch.rand(n, planes, height, width, generator=torch.Generator().manual_seed(height))
        with torch.inference_mode():
            torch.testing.assert_close(run(x), wanted(x), rtol=0, atol=TOLERANCE)


QUICK = {("unshuffled", ".onnx"), ("residual", ".onnx"), ("bicubic", ".onnx"), ("residual", ".pt2")}
"""Slow exports that are always tested; the others are slow tests. TorchScript is fast."""

NAMES = [*GENOMES, "residual", "bicubic"]
EVERY = [
    pytest.param(
        name, suffix, marks=[] if suffix == ".pt" or (name, suffix) in QUICK else [pytest.mark.slow]
    )
    for name in NAMES
    for suffix in (".onnx", ".pt2", ".pt")
    if not (suffix == ".pt2" and "unshuffled" in name)
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The exported file of a network, made once."""
    folder = tmp_path_factory.mktemp("exported")

    def find(name: str, suffix: str) -> Path:
        path = folder / f"{name}{suffix}"
        if not path.exists():
            assert export_model(model(name), path) <= TOLERANCE
            assert path.exists()
        return path

    return find


@pytest.mark.parametrize(("name", "suffix"), EVERY)
def test_every_network_in_every_format(
    name: str, suffix: str, exported: Callable[[str, str], Path]
) -> None:
    assert_agrees(
        read_exported(exported(name, suffix)),
        RgbUpscaler(network(name)),
        planes=3,
    )


@pytest.mark.parametrize(
    "suffix", [pytest.param(".onnx", marks=pytest.mark.slow), ".pt2", ".torchscript"]
)
def test_luma_alone_is_the_network(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    export_model(model("all operators"), path, Layout.y)
    run = read_exported(path)
    assert_agrees(run, network("all operators"), planes=1)
    x = torch.rand(1, 1, 12, 15)
    torch.testing.assert_close(
        run(x), upscale(network("all operators"), x), rtol=0, atol=1e-5
    )  # the fused kernels of inference


@pytest.mark.slow
def test_loaded_models_export(data_root: Path, tmp_path: Path) -> None:
    """Weights from files have other strides; outputs are those of the protocol ``standard``."""
    falsr = load_model(data_root / "models" / "FALSR-B.pb")
    export_model(falsr, tmp_path / "b.onnx")
    image = torch.randint(
        0, 256, (3, 21, 18), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    output = read_exported(tmp_path / "b.onnx")(image[None] / 255)
    expected = super_resolve(falsr.network, image, ScoringProtocol.standard)
    different = (quantise(255 * output, ScoringProtocol.standard)[0] != expected).float().mean()
    assert different < 0.001  # values next to a half level
    assert PUBLISHED["FALSR-B"].to_json() == json.loads(metadata(tmp_path / "b.onnx")["genome"])


def test_rgb_is_what_images_get() -> None:
    for name in ("all operators", "bicubic"):
        image = torch.randint(
            0, 256, (3, 14, 9), generator=torch.Generator().manual_seed(2), dtype=torch.uint8
        )
        with torch.inference_mode():
            output = RgbUpscaler(network(name))(image[None] / 255)
        levels = quantise(255 * output, ScoringProtocol.standard)[0].int()
        difference = (
            levels - super_resolve(network(name), image, ScoringProtocol.standard).int()
        ).abs()
        assert difference.max() <= 1
        assert (difference > 0).float().mean() < 0.01


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_convolution_is_bicubic_interpolation(scale: int) -> None:
    for size in ((13, 17), (1, 1), (2, 5)):
        x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(
            BicubicConvolution(3, scale)(x),
            bicubic(x, scale),
            rtol=0,
            atol=1e-6 if scale == 2 else 2e-6,
        )


def metadata(path: Path) -> dict[str, str]:
    return {item.key: item.value for item in onnx.load(path).metadata_props}


def dims(values: Iterable[Any]) -> dict[str, list[Any]]:
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values
    }


def test_onnx_files_hold_metadata(exported: Callable[[str, str], Path]) -> None:
    path = exported("residual", ".onnx")
    content = onnx.load(path)
    onnx.checker.check_model(content, full_check=True)
    assert dims(content.graph.input) == {"input": ["batch", 3, "height", "width"]}
    assert dims(content.graph.output) == {"output": ["batch", 3, "2*height", "2*width"]}
    assert [(one.domain, one.version) for one in content.opset_import] == [("", portable.OPSET)]
    stored = metadata(path)
    assert Genome.from_json(json.loads(stored["genome"])) == Genome.parse(GENOMES["all operators"])
    assert (
        stored["target"],
        stored["scale"],
        stored["layout"],
        json.loads(stored["provenance"]),
    ) == (
        "residual",
        "2",
        "rgb",
        {"source": "a test"},
    )


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".pt"])
def test_files_hold_no_paths_of_this_machine(
    suffix: str, exported: Callable[[str, str], Path]
) -> None:
    path = exported("residual", suffix)
    contents = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            contents += [archive.read(name) for name in archive.namelist()]
    for place in (Path(portable.__file__).parent, Path(torch.__file__).parent, Path.home()):
        assert not any(str(place).encode() in content for content in contents)


def test_onnx_files_are_in_the_form_that_chainner_loads(
    exported: Callable[[str, str], Path],
) -> None:
    """It wants one RGB image in and out, and infers the scale from shapes at 16x16 pixels."""
    content = onnx.load(exported("residual", ".onnx"))
    (image,), (output,) = content.graph.input, content.graph.output
    assert image.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    for dim, value in zip(image.type.tensor_type.shape.dim, (1, 3, 16, 16), strict=True):
        dim.dim_value = value
    for dim in output.type.tensor_type.shape.dim:
        dim.Clear()
    inferred = onnx.shape_inference.infer_shapes(content, strict_mode=True)
    assert dims(inferred.graph.output) == {"output": [1, 3, 32, 32]}


def test_onnx_files_use_plain_operators(exported: Callable[[str, str], Path]) -> None:
    """No five-dimensional transpose, and no antialiasing, which opset 18 introduced."""
    nodes = list(onnx.load(exported("residual", ".onnx")).graph.node)
    assert not [node for node in nodes if node.op_type in ("Transpose", "Einsum")]
    assert [
        onnx.helper.get_node_attr_value(node, "mode")
        for node in nodes
        if node.op_type == "DepthToSpace"
    ] == [b"DCR", b"CRD"]  # the network's; that of chroma
    resized = {
        onnx.helper.get_node_attr_value(node, "mode"): node
        for node in nodes
        if node.op_type == "Resize"
    }
    assert set(resized) == {b"linear"}  # chroma is interpolated by a convolution
    nodes = list(onnx.load(exported("bicubic", ".onnx")).graph.node)
    (cubic,) = (node for node in nodes if node.op_type == "Resize")
    assert onnx.helper.get_node_attr_value(cubic, "antialias") == 0


@pytest.mark.slow
def test_a_shuffle_in_pytorchs_order_stays(exported: Callable[[str, str], Path]) -> None:
    nodes = list(onnx.load(exported("subpixel", ".onnx")).graph.node)
    assert [
        onnx.helper.get_node_attr_value(node, "mode")
        for node in nodes
        if node.op_type == "DepthToSpace"
    ] == [b"CRD"]


@pytest.mark.parametrize("suffix", [".pt2", ".pt"])
def test_archives_hold_metadata(suffix: str, exported: Callable[[str, str], Path]) -> None:
    with zipfile.ZipFile(exported("residual", suffix)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(portable.METADATA))
        stored = json.loads(archive.read(name))
    assert Genome.from_json(stored["genome"]) == Genome.parse(GENOMES["all operators"])
    assert (stored["target"], stored["layout"], stored["provenance"]) == (
        "residual",
        "rgb",
        {"source": "a test"},
    )


@pytest.mark.parametrize("wrong", [1 + 1e-3, float("nan")])
def test_a_wrong_model_is_not_written(
    wrong: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(nn.Module):
        def __init__(self, right: nn.Module) -> None:
            super().__init__()
            self.right = right

        def forward(self, x: Tensor) -> Tensor:
            return self.right(x) * wrong  # type: ignore[no-any-return]

    def write(module: nn.Module, example: Tensor, metadata: Mapping[str, Any]) -> bytes:
        return to_torchscript(Wrong(module), example, metadata)

    monkeypatch.setitem(FORMATS, ".pt", Format(write, FORMATS[".pt"].read))
    path = tmp_path / "m.pt"
    path.write_bytes(b"an older model")
    with pytest.raises(
        ExportError,
        match=r"m\.pt is not written: in TorchScript the model differs from PyTorch by \S+$",
    ):
        export_model(model("bicubic"), path)
    assert path.read_bytes() == b"an older model"
    assert list(tmp_path.iterdir()) == [path]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"exported as \.onnx, \.param, \.pt2, \.pt, \.torchscript"
    ):
        export_model(model("bicubic"), tmp_path / "m.tflite")
    with pytest.raises(ExportError, match="no programs of unshuffled stems"):
        export_model(model("unshuffled"), tmp_path / "m.pt2")
    with pytest.raises(ExportError, match="bicubic works on RGB"):
        export_model(model("bicubic"), tmp_path / "m.pt", Layout.y)
    with pytest.raises(UserError, match="cannot make the folder"):
        export_model(model("bicubic"), Path(__file__) / "m.pt")


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shared.find_spec
    monkeypatch.setattr(
        shared, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    with pytest.raises(ExportError, match=r"needs onnxruntime: pip install 'falsr-nas\[export\]'"):
        export_model(model("bicubic"), tmp_path / "m.onnx")
    export_model(model("bicubic"), tmp_path / "m.pt")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m.safetensors", network("chain"), {})
    for arguments, code, expected in (
        (
            ["model=m.safetensors", "output=a b.onnx", "layout=y"],
            0,
            "a b.onnx: in onnxruntime at most ",
        ),
        (
            ["model=m.safetensors", "output=m.tflite"],
            2,
            "error: m.tflite: models are exported as .onnx",
        ),
        (["model=m.safetensors"], 2, "error: output is required"),
        (["model=none.ckpt", "output=m.onnx"], 2, "error: none.ckpt"),
        (["model=bicubic", "output=m.onnx", "layout=yuv"], 2, "rgb, y"),
    ):
        monkeypatch.setattr(sys, "argv", ["export", *arguments])
        try:
            export.main()
            found = 0
        except SystemExit as end:
            found = int(end.code or 0)
        captured = capsys.readouterr()
        assert found == code
        assert expected in captured.out + captured.err
        assert (captured.out + captured.err).count("\n") == 1
    assert_agrees(read_exported(tmp_path / "a b.onnx"), network("chain"), planes=1)


def test_export_returns_path_and_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m.safetensors", network("chain"), {})
    config = export.ExportConfig(model="m.safetensors", output="m.pt", layout="y")  # type: ignore[arg-type]
    exported = export.export(config)
    assert exported.path == Path("m.pt")
    assert 0 <= exported.largest_difference <= TOLERANCE
    assert_agrees(read_exported(Path("m.pt")), network("chain"), planes=1)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(UserError, match="layout is yuv: choose one of rgb, y"):
        export.ExportConfig(model="m.safetensors", output="m.pt", layout="yuv")  # type: ignore[arg-type]


def test_torchscript_runs_without_this_project(tmp_path: Path) -> None:
    """Load and run a file in a process that does not import this package."""
    export_model(model("all operators"), tmp_path / "m.pt")
    code = (
        "import sys, torch\n"
        "output = torch.jit.load('m.pt')(torch.rand(1, 3, 5, 6))\n"
        "print(tuple(output.shape), 'falsr_nas' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "(1, 3, 10, 12) False"
