"""ONNX models of modules of few operators, written a hundred times faster than by the exporter.

The profile of a device needs hundreds of small models. What ``torch.fx`` traces is written node by
node; the graph is the one that :func:`falsr_nas.models.export.to_onnx` makes.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import channel_shuffle, pixel_shuffle, relu

from falsr_nas.models.portable import OPSET, require

if TYPE_CHECKING:
    import onnx


def traced_onnx(module: nn.Module, channels: int) -> bytes | None:
    """Return a module as ONNX with input ``input`` and output ``output``, of any height and width.

    Args:
        module: the network.
        channels: of its input (1, C, H, W).

    Returns:
        The model, or None if ``torch.fx`` cannot trace the module, or it has an operator that this
        writer does not know.

    Raises:
        ExportError: packages are missing.
    """
    require("writing ONNX", "export", "onnx")
    from onnx import TensorProto, helper

    try:
        graph = fx.symbolic_trace(module.eval()).graph
    except (fx.proxy.TraceError, TypeError):  # what it computes depends on the size of its input
        return None
    modules = dict(module.named_modules())
    writer = _Writer()
    for node in graph.nodes:
        inputs = [one.name for one in node.all_input_nodes]
        if node.op == "placeholder":
            writer.names[node.name] = "input"
        elif node.op == "call_module" and _is_plain(modules[node.target]):
            writer.conv(node.name, inputs[0], modules[node.target])
        elif node.op == "call_function" and node.target in _FUNCTIONS and _is_known(node):
            _FUNCTIONS[node.target](writer, node)
        elif node.op == "output":
            writer.node("Identity", "output", inputs[0])
        else:
            return None
    sides: list[int | str | None] = [1, channels, "height", "width"]
    made = helper.make_graph(
        writer.nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        writer.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 9  # what opset 18 came with, for runtimes older than the package onnx
    return bytes(model.SerializeToString())


def _is_plain(layer: nn.Module) -> bool:
    """Whether a layer is a convolution of stride 1, without dilation, padded with zeros."""
    return (
        type(layer) is nn.Conv2d
        and (*layer.stride, *layer.dilation) == (1, 1, 1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _is_known(node: fx.Node) -> bool:
    """Whether the writer knows a call of one of its functions with these arguments."""
    if node.target is add:
        return all(isinstance(one, fx.Node) for one in node.args)
    if node.target is torch.cat:
        return [*node.args[1:], *node.kwargs.values()] == [1]
    return node.target is not channel_shuffle or all(  # which is known before its pixel shuffle
        user.target is pixel_shuffle and int(str(user.args[1])) ** 2 == node.args[1]
        for user in node.users
    )


class _Writer:
    """The nodes and weights of a graph so far.

    Attributes:
        nodes: in execution order.
        weights: of the convolutions.
        names: of the values of traced nodes, where they differ from the node's.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.names: dict[str, str] = {}

    def node(self, operator: str, name: str, *inputs: str, **attributes: Any) -> None:
        """Add a node whose output has the name."""
        from onnx import helper

        values = [self.names.get(one, one) for one in inputs]
        self.nodes.append(helper.make_node(operator, values, [name], name=name, **attributes))

    def conv(self, name: str, source: str, layer: nn.Conv2d) -> None:
        """Add a convolution of stride 1."""
        weights = [self._weight(f"{name}.weight", layer.weight)]
        if layer.bias is not None:
            weights.append(self._weight(f"{name}.bias", layer.bias))
        rows, columns = layer.kernel_size
        above, left = (int(side) for side in layer.padding)
        self.node(
            "Conv",
            name,
            source,
            *weights,
            kernel_shape=[rows, columns],
            pads=[above, left, above, left],
            group=layer.groups,
        )

    def _weight(self, name: str, values: Tensor) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(values.detach().numpy(), name))
        return name


def _relu(writer: _Writer, node: fx.Node) -> None:
    writer.node("Relu", node.name, node.all_input_nodes[0].name)


def _add(writer: _Writer, node: fx.Node) -> None:
    writer.node("Add", node.name, *(str(one) for one in node.args))


def _cat(writer: _Writer, node: fx.Node) -> None:
    values: Any = node.args[0]
    writer.node("Concat", node.name, *(str(one) for one in values), axis=1)


def _channel_shuffle(writer: _Writer, node: fx.Node) -> None:
    """Remember the input: with the pixel shuffle that follows, this is one shuffle."""
    source = node.all_input_nodes[0].name
    writer.names[node.name] = writer.names.get(source, source)


def _pixel_shuffle(writer: _Writer, node: fx.Node) -> None:
    source = node.all_input_nodes[0]
    permuted = source.target is channel_shuffle
    writer.node(
        "DepthToSpace",
        node.name,
        source.name,
        blocksize=int(str(node.args[1])),
        mode="DCR" if permuted else "CRD",  # TensorFlow's order, or PyTorch's
    )


_FUNCTIONS: dict[Any, Callable[[_Writer, fx.Node], None]] = {
    relu: _relu,
    add: _add,
    torch.cat: _cat,
    channel_shuffle: _channel_shuffle,
    pixel_shuffle: _pixel_shuffle,
}
