"""Export of models to ONNX, ncnn, PyTorch's exported programs and TorchScript.

Exported models take ``input`` (N, C, H, W), float32 in [0, 1], of any N, H and W, and return
``output`` (N, C, sH, sW), s being the scale; those for ncnn take one image at a time and call it
``data``. Each is read back, run and compared with PyTorch before it is written.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

from falsr_nas.core.files import write_atomically
from falsr_nas.core.quiet import quiet
from falsr_nas.inference.color import RGB_TO_YPBPR, YPBPR_TO_RGB
from falsr_nas.models.layout import ExportError, Layout, runtime_of
from falsr_nas.models.model import Model
from falsr_nas.models.model_file import model_metadata
from falsr_nas.models.ncnn_files import check_upscayl_name, from_ncnn, to_ncnn
from falsr_nas.models.portable import OPSET, Files, Runner, onnx_session, require
from falsr_nas.networks.bicubic import bicubic
from falsr_nas.networks.super_resolver import SuperResolver

if TYPE_CHECKING:
    import onnx_ir

TOLERANCE = 1e-4
"""Largest difference between an exported model and PyTorch: a fortieth of an 8-bit level."""

CHECKED_SIZES = ((1, 24, 32), (2, 17, 23), (3, 9, 40))
"""N, H and W at which an exported model is compared: even and odd, all different from the sizes
that the exporters see."""

METADATA = "falsr_nas.json"
"""Name of the file with the model's metadata inside exported programs and TorchScript archives.

ONNX files have metadata of their own."""

_EXAMPLE_SIZE = (2, 13, 19)  # N, H, W; exporters take sizes of 0 and 1 for constants
_ANY_SIZE = ({axis: Dim(name) for axis, name in ((0, "batch"), (2, "height"), (3, "width"))},)
_BICUBIC_REACH = 2  # low-resolution pixels on each side


class BicubicConvolution(nn.Module):
    """Bicubic interpolation of planes as a convolution and a pixel shuffle.

    The kernel is the response of :func:`falsr_nas.networks.bicubic.bicubic` to one bright pixel,
    so that both agree. Every runtime has these operators and runs them fast; onnxruntime 1.32 takes
    longer for one bicubic ``Resize`` than for a small network.
    """

    kernel: Tensor

    def __init__(self, planes: int, scale: int) -> None:
        super().__init__()
        self.planes, self.scale = planes, scale
        size = 2 * _BICUBIC_REACH + 1
        impulse = torch.zeros(1, 1, 2 * size - 1, 2 * size - 1)
        impulse[..., size - 1, size - 1] = 1
        # Output pixel (i, j) of the low-resolution pixel (y, x), seen from the bright pixel.
        phases = pixel_unshuffle(bicubic(impulse, scale), scale).transpose(0, 1)
        seen = slice(size // 2, size // 2 + size)
        self.register_buffer("kernel", phases[..., seen, seen].flip(-1, -2).repeat(planes, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, planes, H, W) -> (N, planes, sH, sW)."""
        x = pad(x, (_BICUBIC_REACH,) * 4, mode="replicate")
        return pixel_shuffle(conv2d(x, self.kernel, groups=self.planes), self.scale)


class RgbUpscaler(nn.Module):
    """A network with RGB input and output.

    It computes what :func:`falsr_nas.benchmark.super_resolution.super_resolve` computes under the
    protocol ``standard``, before quantisation.
    """

    to_luma: Tensor
    to_chroma: Tensor
    to_rgb: Tensor

    def __init__(self, network: SuperResolver) -> None:
        super().__init__()
        self.network = network
        self.planes = network.planes
        # As weights of 1x1 convolutions, which every runtime has.
        self.register_buffer("to_luma", torch.tensor(RGB_TO_YPBPR[:1])[..., None, None])
        self.register_buffer("to_chroma", torch.tensor(RGB_TO_YPBPR[1:])[..., None, None])
        self.register_buffer("to_rgb", torch.tensor(YPBPR_TO_RGB)[..., None, None])
        self.chroma = BicubicConvolution(planes=2, scale=network.scale)

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 3, sH, sW) in [0, 1]."""
        if self.planes == 3:
            return self.network(rgb).clamp(0, 1)  # type: ignore[no-any-return]
        luma = self.network(conv2d(rgb, self.to_luma))  # (N, 1, sH, sW)
        chroma = self.chroma(conv2d(rgb, self.to_chroma))  # (N, 2, sH, sW)
        return conv2d(torch.cat([luma, chroma], dim=1), self.to_rgb).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class Exported:
    """A model in another format, not yet written.

    Attributes:
        path: the file to write; ncnn's pair has the same name with ``.bin``.
        files: the content of each file by its suffix.
        run: runs the model in the format's runtime.
        difference: largest absolute difference from PyTorch's output.
        planes: 3 for RGB, 1 for luma alone.
    """

    path: Path
    files: Files
    run: Runner
    difference: float
    planes: int

    def write(self) -> None:
        """Write the files.

        Raises:
            UserError: a file cannot be written.
        """
        for suffix, content in self.files.items():
            write_atomically(self.path.with_suffix(suffix), content)


def convert_model(model: Model, path: Path, layout: Layout = Layout.rgb) -> Exported:
    """Convert a model to another format and compare it with PyTorch.

    The result differs from PyTorch by at most :data:`TOLERANCE`.

    Args:
        model: the model to export.
        path: the file to write; its suffix, one of :data:`FORMATS`, is the format.
        layout: the planes of input and output.

    Raises:
        ExportError: no format has this suffix, packages are missing, the network has no luma plane
            or an operator that the format lacks, or the exported model disagrees with PyTorch.
    """
    runtime = runtime_of(path)
    form = FORMATS[path.suffix]
    if path.suffix == ".param":
        check_upscayl_name(path, model.network.scale)
    if path.suffix == ".pt2" and model.network.footprint.step > 1:
        raise ExportError(
            f"{path}: there are no programs of unshuffled stems for any size: use .onnx or .pt"
        )
    if layout is Layout.y and model.network.planes == 3:
        raise ExportError(f"{model.name} works on RGB: it has no layout=y")
    metadata = {"layout": str(layout), **model_metadata(model.network, model.provenance)}
    network = deepcopy(model.network).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    module = network if layout is Layout.y else RgbUpscaler(network).eval()
    planes = 1 if layout is Layout.y else 3
    n, *sides = _EXAMPLE_SIZE
    # Not in inference mode: networks then run kernels of this processor, which no file can hold.
    with torch.no_grad(), _without_warnings():
        written = form.write(module, torch.rand(n, planes, *sides), metadata)
        run = form.read(written)
        difference = largest_difference(module, run, planes)
    if not difference <= TOLERANCE:  # NaN must fail too
        raise ExportError(
            f"{path} is not written: in {runtime} the model differs from PyTorch by"
            f" {difference:.1e}"
        )
    files = {path.suffix: written} if isinstance(written, bytes) else written
    return Exported(path, files, run, difference, planes)


def export_model(model: Model, path: Path, layout: Layout = Layout.rgb) -> float:
    """Convert a model as :func:`convert_model` does, and write it.

    Returns:
        The largest absolute difference from PyTorch's output, at most :data:`TOLERANCE`.

    Raises:
        UserError: the model cannot be exported or the file not be written.
    """
    exported = convert_model(model, path, layout)
    exported.write()
    return exported.difference


def largest_difference(module: nn.Module, exported: Runner, planes: int) -> float:
    """Return the largest absolute difference between outputs of :data:`CHECKED_SIZES`, or NaN."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(n, planes, *sides, generator=generator) for n, *sides in CHECKED_SIZES]
    differences = [(exported(image) - module(image)).abs().max() for image in images]
    return float(torch.stack(differences).max())


def to_onnx(module: nn.Module, example: Tensor, metadata: Mapping[str, Any]) -> bytes:
    """Export to ONNX with PyTorch's exporter that is based on torch.export."""
    require("exporting to ONNX", "export", "onnx", "onnxscript", "onnxruntime")
    import onnx_ir
    from onnx_ir.passes import common

    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=_ANY_SIZE,
    )
    assert program is not None
    simplify(program.model)
    common.ClearMetadataAndDocStringPass()(program.model)  # source lines and paths
    model = onnx_ir.to_proto(program.model)
    model.producer_name, model.producer_version = "falsr_nas", str(metadata["falsr_nas"])
    for name, value in metadata.items():
        model.metadata_props.add(
            key=name, value=value if isinstance(value, str) else json.dumps(value)
        )
    return bytes(model.SerializeToString())


def simplify(model: onnx_ir.Model) -> None:
    """Replace operators in place by equivalent ones that more runtimes support.

    - Antialiasing of bicubic interpolation (new in opset 18) has no effect on upscaling: it is
      switched off.
    - The upsampler permutes channels and shuffles them in PyTorch's order: this becomes a single
      shuffle in TensorFlow's order.
    """
    import onnx_ir
    from onnx_ir.passes import common

    for node in model.graph:
        if node.op_type == "Resize" and "antialias" in node.attributes:
            node.attributes["antialias"] = onnx_ir.AttrInt64("antialias", 0)
        if node.op_type == "DepthToSpace" and (source := _before_channel_shuffle(node)) is not None:
            node.replace_input_with(0, source)
            node.attributes["mode"] = onnx_ir.AttrString("mode", "DCR")
    common.RemoveUnusedNodesPass()(model)


def _before_channel_shuffle(shuffle: onnx_ir.Node) -> onnx_ir.Value | None:
    """Return the input of the permutation of channels before a DepthToSpace node, if there is one.

    The permutation is from (sub-pixel, c) to (c, sub-pixel).
    """
    value = shuffle.inputs[0]
    sub_pixels = shuffle.attributes["blocksize"].as_int() ** 2
    for op in ("Reshape", "Transpose", "Reshape"):
        node = value.producer() if value is not None else None
        if node is None or node.op_type != op:
            return None
        value = node.inputs[0]
        if op == "Transpose":  # from (N, sub-pixel, c, H, W) to (N, c, sub-pixel, H, W)
            shape = None if value is None else value.shape
            permutation = list(node.attributes["perm"].as_ints())
            if shape is None or permutation != [0, 2, 1, 3, 4] or shape[1] != sub_pixels:
                return None
    return value


def from_onnx(content: bytes) -> Runner:
    """Load an ONNX model with onnxruntime, on the CPU."""
    session = onnx_session(content)
    return lambda x: torch.from_numpy(session.run(["output"], {"input": x.numpy()})[0])


def to_exported_program(module: nn.Module, example: Tensor, metadata: Mapping[str, Any]) -> bytes:
    """Export to a program for torch.export.load and for AOTInductor."""
    program = torch.export.export(module, (example,), dynamic_shapes=_ANY_SIZE)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # source lines and paths
    buffer = BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(metadata))})
    return buffer.getvalue()


def from_exported_program(content: bytes) -> Runner:
    """Load an exported program."""
    return torch.export.load(BytesIO(content)).module()


def to_torchscript(module: nn.Module, example: Tensor, metadata: Mapping[str, Any]) -> bytes:
    """Export to a TorchScript archive for torch.jit.load, in Python or C++.

    Tracing is enough: no network of this package branches on its input.
    """
    written, cleaned = BytesIO(), BytesIO()
    traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, written, {METADATA: json.dumps(dict(metadata))})
    with ZipFile(written) as archive, ZipFile(cleaned, "w") as copy:
        for entry in archive.infolist():
            if not entry.filename.endswith(".debug_pkl"):  # source lines and paths
                copy.writestr(entry, archive.read(entry))
    return cleaned.getvalue()


def from_torchscript(content: bytes) -> Runner:
    """Load a TorchScript archive."""
    return torch.jit.load(BytesIO(content))  # type: ignore[no-any-return, no-untyped-call]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of exported models.

    Attributes:
        write: exports a module, given an example input and the metadata to store; returns the
            content of the file, or of several.
        read: loads what ``write`` returned.
    """

    write: Callable[[nn.Module, Tensor, Mapping[str, Any]], bytes | Files]
    read: Callable[[Any], Runner]


FORMATS: dict[str, Format] = {
    ".onnx": Format(to_onnx, from_onnx),
    ".param": Format(to_ncnn, from_ncnn),
    ".pt2": Format(to_exported_program, from_exported_program),
    ".pt": Format(to_torchscript, from_torchscript),
    ".torchscript": Format(to_torchscript, from_torchscript),
}
"""The formats by the suffix of the file."""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence PyTorch's warnings about its own exporters while the block runs.

    They say that TorchScript is deprecated (many programs still load it) and that torchvision is
    not installed (it is not needed).
    """
    with quiet("torch.onnx"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
