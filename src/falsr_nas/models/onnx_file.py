"""ONNX files of any origin as networks, run by onnxruntime.

A file has one input (N, 1 or 3, H, W), float32 in [0, 1] and of any height and width, or all
multiples of a number, and one output of 2, 3 or 4 times the size: full-range luma, or RGB.
Parameters, mult-adds and the memory of a run are computed from the graph; the margin for tiles is
measured.
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from falsr_nas.core.errors import UserError
from falsr_nas.inference.memory import limited_memory
from falsr_nas.models.portable import Runner, onnx_session, require
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.runtime_network import RuntimeNetwork, measured_margin
from falsr_nas.space.cost import Cost, input_pixels
from falsr_nas.space.ends import SCALES

if TYPE_CHECKING:
    import onnx

_SIDE = 64  # of the image for which shapes are inferred
_UNKNOWN_FLOATS = 2_000  # numbers per pixel where shapes cannot be inferred; our choice
_TRIED = (20, 26)  # height and width of the image on which a file is tried
_STEPS = (*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 48, 56, 64)  # of sides; our choice
_FLOAT = 1  # onnx.TensorProto.FLOAT
_FARTHEST = 4.0  # from the grey of the tried image; networks without training may be off by one

LOAD_SECONDS, LOAD_BYTES = 60.0, 2 * 2**30
"""Most time and memory, beside 8 times the file's size, for loading a file and running it on small
images; our choice."""

OPERATORS = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant
    ConstantOfShape Conv ConvInteger ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div
    Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand Flatten Floor FusedConv Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
    GridSample GroupNormalization HardSigmoid HardSwish Identity If InstanceNormalization
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul
    MatMulInteger Max MaxPool Mean Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow QLinearAdd
    QLinearConcat QLinearConv QLinearMatMul QLinearMul QuantizeLinear Range Reciprocal ReduceL1
    ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh Tile TopK Transpose Trilu Unsqueeze Upsample
    Where Xor
    """.split()  # noqa: SIM905
)
"""The operators that a file may have: those of published networks, none of which repeats others."""


class OnnxFileError(UserError):
    """An ONNX file that cannot be used; the message names the file and the reason."""


def load_onnx(path: Path) -> RuntimeNetwork:
    """Load an ONNX file as a network.

    Raises:
        UserError: packages are missing; or the file is damaged, keeps weights in other files, has
            operators that networks do not need, other inputs and outputs, takes images of one size
            only, has another scale, or needs too much time or memory for a small image.
        OSError: the file cannot be read.
    """
    require(f"reading {path.name}", "export", "onnx", "onnxruntime")
    content = path.read_bytes()
    found: list[RuntimeNetwork | Exception] = []

    def load() -> None:
        try:
            found.append(_loaded(path, content))
        except Exception as error:  # raised in the main thread
            found.append(error)

    # In a thread: onnxruntime cannot be stopped, and signals would wait for it in the main one.
    thread = threading.Thread(target=load, daemon=True)
    most = LOAD_BYTES + 8 * len(content)
    with limited_memory(most):
        thread.start()
        thread.join(LOAD_SECONDS)
    if not found:
        raise OnnxFileError(f"{path}: a small image takes more than {LOAD_SECONDS:g} s")
    if isinstance(found[0], MemoryError):
        raise OnnxFileError(f"{path}: needs more than {most >> 20} MiB for a small image")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _loaded(path: Path, content: bytes) -> RuntimeNetwork:
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's exceptions differ between its implementations
        raise OnnxFileError(f"{path}: not an ONNX file, or cut short") from error
    if model.functions or model.training_info:
        raise OnnxFileError(f"{path}: has functions of its own: export it with these inlined")
    _check_graph(path, model.graph)
    planes = _planes(path, model)
    session = _session(path, content)
    step, run = _stepped(session, planes)
    scale = _tried_scale(path, run, planes)
    sizes = _sizes(model, planes)
    floats = _live_floats(model, sizes) or _UNKNOWN_FLOATS
    footprint = Footprint(measured_margin(run, planes, scale, step), floats, step)
    return RuntimeNetwork(run, planes, scale, footprint, _cost(model, sizes, scale))


def _check_graph(path: Path, graph: onnx.GraphProto) -> None:
    """Raise OnnxFileError if a graph, or one inside, has other operators or weights elsewhere."""
    import onnx

    tensors = [*graph.initializer, *(one.values for one in graph.sparse_initializer)]
    for node in graph.node:
        if node.op_type not in OPERATORS:
            raise OnnxFileError(f"{path}: the operator {node.op_type!r:.60} is not supported")
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors, attribute.sparse_tensor.values]
            for inner in (attribute.g, *attribute.graphs):
                _check_graph(path, inner)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise OnnxFileError(f"{path}: keeps weights in other files: save it as one file")


def _planes(path: Path, model: onnx.ModelProto) -> int:
    """Return the number of planes that the input names, or raise OnnxFileError."""
    inputs = _images(model)
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise OnnxFileError(
            f"{path}: has {len(inputs)} inputs and {len(model.graph.output)} outputs: expected one"
            " image in and one image out"
        )
    tensor = inputs[0].type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]  # 0 for any
    if tensor.elem_type != _FLOAT or len(dims) != 4 or dims[1] not in (1, 3):
        raise OnnxFileError(
            f"{path}: its input must be float32 (N, C, H, W) with C of 1 (luma) or 3 (RGB)"
        )
    if dims[2] or dims[3]:
        raise OnnxFileError(
            f"{path}: takes images of {dims[3] or 'any'}x{dims[2] or 'any'} pixels only: export it"
            " with variable height and width"
        )
    return int(dims[1])


def _images(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs of a model without its weights, which older files list among them."""
    weights = {weight.name for weight in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _session(path: Path, content: bytes) -> Runner:
    from onnxruntime import RunOptions

    try:
        session = onnx_session(content)
    except Exception as error:  # its exceptions have no base class of their own
        reason = " ".join(str(error).split())
        raise OnnxFileError(f"{path}: onnxruntime does not load it: {reason}") from None
    name, quiet = session.get_inputs()[0].name, RunOptions()
    quiet.log_severity_level = 4  # errors are raised

    def run(x: Tensor) -> Tensor:
        try:
            return torch.from_numpy(session.run(None, {name: x.numpy()}, quiet)[0])
        except Exception as error:
            reason = " ".join(str(error).split())
            raise OnnxFileError(f"{path}: onnxruntime does not run it: {reason}") from None

    return run


def _stepped(run: Runner, planes: int) -> tuple[int, Runner]:
    """Return the number of which sides must be multiples, and a run of images with any sides.

    The images are repeated at their ends up to such sides, and the output is cut.
    """
    for step in _STEPS:
        # Not multiples of more than the step, and larger than windows and kernels.
        sides = [step * (max(_TRIED[0], side) // step * 2 + 1) for side in (1, 2 * _TRIED[0])]
        with suppress(OnnxFileError):
            output = run(torch.full((1, planes, *sides), 0.5))
            if any(output.shape[2:] == (s * sides[0], s * sides[1]) for s in SCALES):
                break
    else:
        return 1, run  # whose error is reported
    if step == 1:
        return 1, run

    def padded(x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        output = run(pad(x, (0, -width % step, 0, -height % step), mode="replicate"))
        scale = output.shape[2] // (height + -height % step)
        return output[..., : scale * height, : scale * width]

    return step, padded


def _tried_scale(path: Path, run: Runner, planes: int) -> int:
    """Return the scale at which an image comes back, in the same range, or raise OnnxFileError."""
    height, width = _TRIED
    output = run(torch.full((1, planes, height, width), 0.5))
    sizes: dict[tuple[int, ...], int] = {
        (1, planes, scale * height, scale * width): scale for scale in SCALES
    }
    if (scale := sizes.get(tuple(output.shape))) is None:
        raise OnnxFileError(
            f"{path}: makes {tuple(output.shape)} of (1, {planes}, {height}, {width}): the scale"
            f" must be one of {', '.join(map(str, SCALES))}"
        )
    margin = scale * min(height, width) // 4  # zero padding darkens the border
    level = float(output[..., margin:-margin, margin:-margin].float().mean())
    if not abs(level - 0.5) <= _FARTHEST:
        raise OnnxFileError(
            f"{path}: makes {level:.3g} of a grey of 0.5: its values must be in [0, 1], not 0..255"
        )
    return scale


def _sizes(model: onnx.ModelProto, planes: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all values for a square image of :data:`_SIDE`, or nothing."""
    import onnx
    from onnx import shape_inference

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (image,) = _images(copy)
    for dim, value in zip(image.type.tensor_type.shape.dim, (1, planes, _SIDE, _SIDE), strict=True):
        dim.dim_value = value
    del copy.graph.value_info[:]  # names of dimensions would hide the sizes
    for output in copy.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        graph = shape_inference.infer_shapes(copy, data_prop=True).graph
    except Exception:  # operators that it does not know, and others
        return {}
    found = {weight.name: tuple(weight.dims) for weight in copy.graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if all(dims) and value.type.tensor_type.HasField("shape"):
            found[value.name] = tuple(dims)
    return found


def _live_floats(model: onnx.ModelProto, sizes: dict[str, tuple[int, ...]]) -> int | None:
    """Return the most numbers in memory at one time per input pixel, or None if not known."""
    nodes = model.graph.node
    last = {name: place for place, node in enumerate(nodes) for name in node.input}
    live = {image.name for image in _images(model)}
    most = 0
    for place, node in enumerate(nodes):
        live |= {name for name in node.output if name}
        if not live <= sizes.keys():
            return None
        most = max(most, sum(math.prod(sizes[name]) for name in live))
        live -= {name for name in live if last.get(name, len(nodes)) <= place}
    return -(-most // _SIDE**2)


def _cost(model: onnx.ModelProto, sizes: dict[str, tuple[int, ...]], scale: int) -> Cost | None:
    """Return parameters, and mult-adds of convolutions and products, or None if not known."""
    weights = [tensor for tensor in model.graph.initializer if tensor.data_type == _FLOAT]
    try:
        mult_adds = sum(_mult_adds(node, sizes) for node in model.graph.node)
    except KeyError:  # a shape that could not be inferred
        return None
    params = sum(math.prod(tensor.dims) for tensor in weights)
    return Cost(params, mult_adds * input_pixels(scale) // _SIDE**2)


def _mult_adds(node: Any, sizes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        return 0
    source, weight, output = (sizes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":  # weight: (outputs, inputs / groups, kernel)
        return math.prod(output) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":  # weight: (inputs, outputs / groups, kernel)
        return math.prod(source) * math.prod(weight[1:])
    return math.prod(output) * source[-1]
