"""Models in forms that other programs run: ONNX, PyTorch's exported programs and TorchScript.

All take ``input`` (N, C, H, W) float32 in [0, 1] of any N, H and W, and give ``output`` (N, C, 2H, 2W). Nothing is written before what
was made has been read back, run, and found to agree with PyTorch.
"""

from __future__ import annotations

import json
import logging
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
from torch.nn.functional import conv2d

from falsr_nas.errors import UserError
from falsr_nas.files import write_atomically
from falsr_nas.inference.color import RGB_TO_YPBPR, YPBPR_TO_RGB
from falsr_nas.models.layout import Layout
from falsr_nas.models.model_file import Model, about
from falsr_nas.networks.baselines import bicubic
from falsr_nas.networks.super_resolver import SuperResolver

if TYPE_CHECKING:
    import onnx_ir

OPSET = 18
"""ONNX opset of the files: the oldest that PyTorch's exporter writes by itself, so what most programs read."""

TOLERANCE = 1e-4
"""How far an exported model may be from PyTorch, of 1: a fortieth of an 8-bit level."""

CHECKED = ((1, 24, 32), (2, 17, 23), (3, 9, 40))
"""N, H and W at which an exported model is compared; odd ones among them, and none is the size of the export."""

METADATA = "falsr_nas.json"
"""The file inside an exported program or a TorchScript archive that says what the model is; in ONNX files it is the model's metadata."""

_EXAMPLE = (2, 13, 19)  # N, H, W: sizes of 0 and 1 would be taken for constants

Run = Callable[[Tensor], Tensor]


class ExportError(UserError):
    """A model that cannot be exported as asked; the message says why."""


class RgbUpscaler(nn.Module):
    """A network between RGB and RGB, as :func:`falsr_nas.benchmark.super_resolve` has it under ``standard``, without its quantisation."""

    to_luma: Tensor
    to_chroma: Tensor
    to_rgb: Tensor

    def __init__(self, network: SuperResolver) -> None:
        super().__init__()
        self.network = network
        self.planes = network.planes
        # As 1 x 1 convolutions, which every runtime has.
        self.register_buffer("to_luma", torch.tensor(RGB_TO_YPBPR[:1])[..., None, None])
        self.register_buffer("to_chroma", torch.tensor(RGB_TO_YPBPR[1:])[..., None, None])
        self.register_buffer("to_rgb", torch.tensor(YPBPR_TO_RGB)[..., None, None])

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 3, 2H, 2W) in [0, 1]."""
        if self.planes == 3:
            return self.network(rgb).clamp(0, 1)  # type: ignore[no-any-return]
        luma = self.network(conv2d(rgb, self.to_luma))  # (N, 1, 2H, 2W)
        chroma = bicubic(conv2d(rgb, self.to_chroma))  # (N, 2, 2H, 2W)
        return conv2d(torch.cat([luma, chroma], dim=1), self.to_rgb).clamp(0, 1)


def export_model(model: Model, path: Path, layout: Layout = Layout.rgb) -> float:
    """Write a model in the form that ``path`` ends in, and say how far it is from PyTorch: at most :data:`TOLERANCE`.

    Raises:
        ExportError: when no form has that ending, its packages are missing, the network has no luma plane, or the exported model does not
            agree with PyTorch. No file is written then.
        UserError: when the file cannot be written.
    """
    form = FORMS.get(path.suffix)
    if form is None:
        raise ExportError(f"{path}: models are exported as {', '.join(FORMS)}")
    if layout is Layout.y and model.network.planes == 3:
        raise ExportError(f"{model.name} works on RGB: it has no layout=y")
    said = {"layout": str(layout), **about(model.network, model.provenance)}
    network = deepcopy(model.network).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    module, planes = (network, 1) if layout is Layout.y else (RgbUpscaler(network), 3)
    with (
        torch.no_grad(),
        _quiet(),
    ):  # not in inference mode: there networks run kernels of this processor, which no file can hold
        content = form.write(module.eval(), torch.rand(_EXAMPLE[0], planes, *_EXAMPLE[1:]), said)
        difference = largest_difference(module, form.read(content), planes)
    if not difference <= TOLERANCE:  # NaN neither
        raise ExportError(
            f"{path} is not written: in {form.runtime} the model differs from PyTorch by {difference:.1e}"
        )
    write_atomically(path, content)
    return difference


def largest_difference(module: nn.Module, exported: Run, planes: int) -> float:
    """How far the outputs are apart, at most, over :data:`CHECKED`; NaN where one is NaN."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for n, height, width in CHECKED:
        x = torch.rand(n, planes, height, width, generator=generator)
        found.append((exported(x) - module(x)).abs().max())
    return float(torch.stack(found).max())


def to_onnx(module: nn.Module, example: Tensor, said: Mapping[str, Any]) -> bytes:
    """An ONNX model, by PyTorch's exporter on top of torch.export; the one on top of TorchScript is on its way out."""
    _need("onnx", "onnxscript", "onnxruntime")
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
        dynamic_shapes=_any_size(),
    )
    assert program is not None
    simplify(program.model)
    common.ClearMetadataAndDocStringPass()(program.model)  # source lines and paths
    model = onnx_ir.to_proto(program.model)
    model.producer_name, model.producer_version = "falsr_nas", str(said["falsr_nas"])
    for name, value in said.items():
        model.metadata_props.add(
            key=name, value=value if isinstance(value, str) else json.dumps(value)
        )
    return bytes(model.SerializeToString())


def simplify(model: onnx_ir.Model) -> None:
    """The same numbers by operators that more runtimes have.

    Bicubic interpolation with antialiasing (from opset 18 on) is, where it enlarges, bicubic interpolation. And the upsampler's shuffle, a
    reordering of channels and a shuffle in PyTorch's order, is one in TensorFlow's order.
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
    """What a DepthToSpace node's input was before its channels (sub-pixel, c) were reordered to (c, sub-pixel), if they were."""
    value = shuffle.inputs[0]
    for op in ("Reshape", "Transpose", "Reshape"):
        node = value.producer() if value is not None else None
        if node is None or node.op_type != op:
            return None
        value = node.inputs[0]
        if op == "Transpose":
            groups = (
                value.shape[1]
                if value is not None and value.shape is not None and len(value.shape) == 5
                else None
            )
            if groups != shuffle.attributes["blocksize"].as_int() ** 2 or list(
                node.attributes["perm"].as_ints()
            ) != [0, 2, 1, 3, 4]:
                return None
    return value


def from_onnx(content: bytes) -> Run:
    """An ONNX model as onnxruntime runs it on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(["output"], {"input": x.numpy()})[0])


def to_exported_program(module: nn.Module, example: Tensor, said: Mapping[str, Any]) -> bytes:
    """A program for torch.export.load, and for AOTInductor to compile."""
    program = torch.export.export(module, (example,), dynamic_shapes=_any_size())
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # source lines and paths
    buffer = BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(said))})
    return buffer.getvalue()


def from_exported_program(content: bytes) -> Run:
    """An exported program as PyTorch runs it."""
    return torch.export.load(BytesIO(content)).module()


def to_torchscript(module: nn.Module, example: Tensor, said: Mapping[str, Any]) -> bytes:
    """A TorchScript archive for torch.jit.load, here or in C++. A trace: no network chooses its way by its input."""
    written, kept = BytesIO(), BytesIO()
    traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, written, {METADATA: json.dumps(dict(said))})
    with ZipFile(written) as archive, ZipFile(kept, "w") as copy:
        for entry in archive.infolist():
            if not entry.filename.endswith(".debug_pkl"):  # source lines and paths
                copy.writestr(entry, archive.read(entry))
    return kept.getvalue()


def from_torchscript(content: bytes) -> Run:
    """A TorchScript archive as PyTorch runs it."""
    return torch.jit.load(BytesIO(content))  # type: ignore[no-any-return, no-untyped-call]


@dataclass(frozen=True, slots=True)
class Form:
    """A form of exported models: how it is written and read, and by what it is run."""

    runtime: str
    write: Callable[[nn.Module, Tensor, Mapping[str, Any]], bytes]
    read: Callable[[bytes], Run]


_TORCHSCRIPT = Form("TorchScript", to_torchscript, from_torchscript)

FORMS: dict[str, Form] = {
    ".onnx": Form("onnxruntime", to_onnx, from_onnx),
    ".pt2": Form("torch.export", to_exported_program, from_exported_program),
    ".pt": _TORCHSCRIPT,
    ".torchscript": _TORCHSCRIPT,
}
"""By the ending of the file."""


def _any_size() -> tuple[dict[int, Any]]:
    return (
        {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")},
    )


def _need(*packages: str) -> None:
    from importlib.util import find_spec

    if missing := [package for package in packages if find_spec(package) is None]:
        raise ExportError(
            f"exporting to ONNX needs {' and '.join(missing)}: pip install 'falsr-nas[export]'"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's warnings to itself: TorchScript is deprecated, and still what many programs load; torchvision is not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
