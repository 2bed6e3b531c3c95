"""ONNX models of modules of few operators, written a hundred times faster than by the exporter.

The profile of a device needs hundreds of small models. What ``torch.fx`` traces is written node by
node; the graph is the one that :func:`falsr_nas.models.export.to_onnx` makes.
"""

from __future__ import annotations

from operator import add
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn.functional import channel_shuffle, pad, pixel_shuffle, relu

from falsr_nas.models.portable import OPSET, require
from falsr_nas.networks.network import cropped


def traced_onnx(module: nn.Module, channels: int) -> bytes | None:
    """Return a module as ONNX with input ``input`` and output ``output``, of any height and width.

    The input is (1, channels, H, W). Returns None if ``torch.fx`` cannot trace the module, or it
    has an operator that this writer does not know.

    Raises:
        ExportError: packages are missing.
    """
    require("writing ONNX", "export", "onnx")
    from onnx import TensorProto, helper, numpy_helper

    try:
        traced = fx.symbolic_trace(module.eval())
    except (fx.proxy.TraceError, TypeError):  # what it computes depends on the size of its input
        return None
    nodes, weights = [], []
    padded: dict[str, list[int]] = {}  # what is padded at the top, left, bottom and right
    names: dict[str, str] = {}  # of the values of traced nodes
    for node in traced.graph.nodes:
        sources: list[fx.Node] = []  # all_input_nodes would have the two of x + x only once
        fx.node.map_arg((node.args, node.kwargs), sources.append)
        inputs = [names[source.name] for source in sources]
        if node.op == "call_function" and node.target is pad and len(node.args) == 2:
            names[node.name] = inputs[0]  # for the convolution that follows
            left, right, top, bottom = node.args[1]
            padded[node.name] = [top, left, bottom, right]
            continue
        if node.op == "call_function" and node.target is cropped:
            # To the last two sides of the second input, times the scale.
            low, size, scale, first, axes = (f"{node.name}_{part}" for part in "abcde")
            for name, values in ((scale, node.args[2:]), (first, (0, 0)), (axes, (2, 3))):
                weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
            names[node.name] = node.name
            nodes += [
                helper.make_node("Shape", inputs[1:], [low], start=2),
                helper.make_node("Mul", [low, scale], [size]),
                helper.make_node("Slice", [inputs[0], first, size, axes], [node.name]),
            ]
            continue
        names[node.name] = "input" if node.op == "placeholder" else node.name
        if node.op == "placeholder":
            continue
        if node.op == "call_function" and _is_joined_shuffle(node):
            names[node.name] = inputs[0]  # with the pixel shuffle that follows, this is one shuffle
            continue
        if node.op == "call_module":
            layer = traced.get_submodule(node.target)
            for name, values in layer.named_parameters(node.name, recurse=False):
                inputs.append(name)
                weights.append(numpy_helper.from_array(values.detach().numpy(), name))
            operation = _convolution(layer, padded.get(sources[0].name))
        else:
            operation = _operation(node)
        if operation is None:
            return None
        operator, attributes = operation
        name = names[node.name]
        nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
    sides: list[int | str | None] = [1, channels, "height", "width"]
    made = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 9  # what opset 18 came with, for runtimes older than the package onnx
    return bytes(model.SerializeToString())


def _convolution(layer: nn.Module, padding: list[int] | None) -> tuple[str, dict[str, Any]] | None:
    """Return ONNX's operator for a plain convolution and its attributes, or None."""
    if (
        type(layer) is not nn.Conv2d
        or layer.dilation != (1, 1)
        or layer.padding_mode != "zeros"
        or isinstance(layer.padding, str)
    ):
        return None
    pads = [*layer.padding, *layer.padding]
    if padding is not None:
        pads = [a + b for a, b in zip(pads, padding, strict=True)]
    shape = {"kernel_shape": [*layer.kernel_size], "strides": [*layer.stride]}
    return "Conv", {**shape, "pads": pads, "group": layer.groups}


def _operation(node: fx.Node) -> tuple[str, dict[str, Any]] | None:
    """Return ONNX's operator for a call of a function, and its attributes, or None."""
    if node.op != "call_function":
        return ("Identity", {}) if node.op == "output" else None
    if node.target is relu:
        return "Relu", {}
    if node.target is add and all(isinstance(term, fx.Node) for term in node.args):
        return "Add", {}
    if node.target is torch.cat and [*node.args[1:], *node.kwargs.values()] == [1]:
        return "Concat", {"axis": 1}
    if node.target is pixel_shuffle:
        # TensorFlow's order, or PyTorch's.
        mode = "DCR" if node.all_input_nodes[0].target is channel_shuffle else "CRD"
        return "DepthToSpace", {"blocksize": int(str(node.args[1])), "mode": mode}
    return None


def _is_joined_shuffle(node: fx.Node) -> bool:
    """Whether a call is a channel shuffle that only pixel shuffles of its factor read."""
    return node.target is channel_shuffle and all(
        user.target is pixel_shuffle and int(str(user.args[1])) ** 2 == node.args[1]
        for user in node.users
    )
