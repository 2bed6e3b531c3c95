"""Import of FALSR-family TensorFlow graphs: a frozen GraphDef (``.pb``) in, a :class:`Network` with its weights out.

The genome is read from the graph. Node names carry the cells (``.../cell3/conv_f64_k3_b4_isskip_b0/kernel``), ``ConcatV2`` nodes the links.
Names only say where to look: every layer is then followed along its wires, and a graph that computes anything else than the network of
its genome is refused.

The file is parsed by the protobuf runtime with the handful of TensorFlow's message definitions that weights and wires need, written out
below. That takes no TensorFlow, and leaves hostile bytes to a parser that the world relies on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory  # type: ignore[import-untyped,unused-ignore]
from torch import Tensor

from falsr_nas.errors import UserError
from falsr_nas.networks.network import Network
from falsr_nas.space.cost import cost
from falsr_nas.space.genome import SCALE, Cell, Genome, GenomeError

LARGEST_FILE = 64 * 2**20
"""Bytes. The paper's space needs at most a third of it; the bound keeps a hostile file from filling the memory."""

LUMA_INPUT = "input_image_evaluate_y"
"""Placeholder of the luma plane, NHWC, in the published graphs."""

_CELL = re.compile(
    r"((?:.*/)?cell(\d{1,3})/([A-Za-z0-9]{1,32}_f\d{1,6}_k\d{1,4}_b\d{1,4}_(?:isskip|noskip)))"
)
_MOST_NODES = 100_000
_FLOAT, _INT32 = 1, 3  # TensorFlow's DataType

# The messages of tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto, as far as they are read: field, number,
# type, where "*" marks a repeated one. Nodes stay bytes at first, so that their number is known before they take memory, and the map of
# attributes is spelt as what it is on the wire, a list of pairs. Fields left out here are skipped by the parser.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "GraphDef": (("node", 1, "bytes*"),),
    "NodeDef": (
        ("name", 1, "string"),
        ("op", 2, "string"),
        ("input", 3, "string*"),
        ("attr", 5, "Attr*"),
    ),
    "Attr": (("key", 1, "string"), ("value", 2, "AttrValue")),
    "AttrValue": (
        ("list", 1, "ListValue"),
        ("s", 2, "bytes"),
        ("i", 3, "int64"),
        ("tensor", 8, "TensorProto"),
    ),
    "ListValue": (("i", 3, "int64*"),),
    "TensorProto": (
        ("dtype", 1, "int32"),
        ("tensor_shape", 2, "TensorShapeProto"),
        ("tensor_content", 4, "bytes"),
        ("float_val", 5, "float*"),
        ("int_val", 7, "int32*"),
    ),
    "TensorShapeProto": (("dim", 2, "Dim*"),),
    "Dim": (("size", 1, "int64"),),
}


class GraphError(UserError):
    """A file that is not a frozen graph of the FALSR family, or is damaged; the message says what is wrong with it."""


def load_graph(path: Path) -> Network:
    """The network of a ``.pb`` file. Raises GraphError when the file is no such graph, OSError when it cannot be read."""
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise GraphError(
            f"{path}: {size} bytes is more than any graph of this family; the limit is {LARGEST_FILE}"
        )
    try:
        return import_graph(path.read_bytes())
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def import_graph(data: bytes) -> Network:
    """The network of a serialised GraphDef. Raises GraphError, whatever ``data`` is."""
    try:
        graph = _Graph(data)
        genome, weights = _Importer(graph).read()
    except GenomeError as error:
        raise GraphError(f"not a FALSR graph: {error}") from None
    network = Network(genome)
    network.load_state_dict(weights)
    return network


class _Graph:
    """Nodes by name, and the wires between them."""

    def __init__(self, data: bytes) -> None:
        types = message_types()
        try:
            records = types["GraphDef"].FromString(data).node
            if len(records) > _MOST_NODES:
                raise GraphError(f"not a FALSR graph: {len(records)} nodes")
            nodes = [types["NodeDef"].FromString(record) for record in records]
        except message.DecodeError:
            raise GraphError("not a TensorFlow GraphDef, or cut short") from None
        if not nodes:
            raise GraphError("not a TensorFlow GraphDef: it has no nodes")
        self.nodes: dict[str, Any] = {node.name: node for node in nodes}
        self._sources: dict[str, str] = {}
        if len(self.nodes) < len(nodes):
            raise GraphError("not a FALSR graph: two nodes share a name")

    def node(self, name: str, *ops: str) -> Any:
        """The node of that name, which must be one of ``ops``."""
        node = self.nodes.get(name)
        if node is None:
            raise GraphError(f"not a whole FALSR graph: it has no node {name!r}")
        if node.op not in ops:
            raise GraphError(
                f"not a FALSR graph: node {name!r} is {node.op!r}, expected {' or '.join(ops)}"
            )
        return node

    def wires(self, node: Any) -> list[str]:
        """What a node reads, past any Identity; output 0 of a node is written as its name."""
        return [self._source(wire) for wire in node.input if not wire.startswith("^")]

    def _source(self, wire: str) -> str:
        passed: list[str] = []
        while True:
            wire = wire.removesuffix(":0")
            if wire in self._sources:
                wire = self._sources[wire]
                break
            node = self.nodes.get(wire)
            if node is None or node.op != "Identity" or not node.input:
                break
            if len(passed) > len(self.nodes):
                raise GraphError("not a FALSR graph: its identities run in a circle")
            passed.append(wire)
            wire = node.input[0]
        self._sources |= dict.fromkeys(passed, wire)  # so that long chains are walked once
        return wire

    def only_wires(self, node: Any, count: int) -> list[str]:
        """What a node of ``count`` inputs reads."""
        wires = self.wires(node)
        if len(wires) != count:
            raise GraphError(
                f"not a FALSR graph: node {node.name!r} reads {len(wires)} tensors, expected {count}"
            )
        return wires

    def of(self, op: str) -> Iterator[Any]:
        """All nodes of an operation."""
        return (node for node in self.nodes.values() if node.op == op)

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The float constant of that name and shape. The shape is compared before anything is allocated."""
        value = self._constant(name, _FLOAT)
        if (found := tuple(dim.size for dim in value.tensor_shape.dim)) != shape:
            raise GraphError(
                f"constant {name!r} has shape {list(found[:8])}, its genome needs {list(shape)}"
            )
        count = math.prod(shape)
        if len(value.tensor_content) == 4 * count:
            flat = torch.frombuffer(bytearray(value.tensor_content), dtype=torch.float32)
        elif not value.tensor_content and len(value.float_val) in {1, count}:
            flat = torch.tensor(list(value.float_val)).expand(
                count
            )  # a single value stands for all
        else:
            raise GraphError(f"constant {name!r} declares {count} numbers and holds another amount")
        if not flat.isfinite().all():
            raise GraphError(f"constant {name!r} holds numbers that are not finite")
        return flat.reshape(shape)

    def integer(self, name: str) -> int:
        """The scalar integer constant of that name."""
        value = self._constant(name, _INT32)
        if len(value.tensor_content) == 4:
            return int.from_bytes(value.tensor_content, "little", signed=True)
        if len(value.int_val) != 1:
            raise GraphError(f"constant {name!r} is not one number")
        return int(value.int_val[0])

    def _constant(self, name: str, dtype: int) -> Any:
        value = attribute(self.node(name, "Const"), "value").tensor
        if value.dtype != dtype:
            raise GraphError(
                f"constant {name!r} has TensorFlow data type {value.dtype}, expected {dtype}"
            )
        return value


@dataclass(frozen=True, slots=True)
class _Layer:
    """One convolution as found: the names of its constants, and the wire that it reads."""

    kernel: str
    bias: str
    source: str


class _Importer:
    """Follows a graph from its input to its output, and collects the genome and the weights on the way."""

    def __init__(self, graph: _Graph) -> None:
        self.graph = graph
        self.adds: dict[frozenset[str], str] = {
            frozenset(graph.wires(node)): node.name
            for op in ("Add", "AddV2")
            for node in graph.of(op)
        }

    def read(self) -> tuple[Genome, dict[str, Tensor]]:
        """The genome, and the weights by their names in :class:`Network`."""
        ends: dict[str, int] = {}  # the wire that carries a node -> the node
        entries: list[str] = []  # the wire that each target reads
        layers: dict[str, _Layer] = {}
        cells = self._cells()
        for i, (prefix, cell) in enumerate(cells):
            found, end = (
                self._bottlenecks(prefix, cell)
                if cell.operator.kind == "invertBotCon"
                else self._convs(prefix, cell)
            )
            layers |= {f"cells.{i}.{name}": layer for name, layer in found.items()}
            entries.append(next(iter(found.values())).source)
            ends[end] = i + 1
        stem = entries[0]  # cell block 1 reads node 0 alone
        ends[stem] = 0
        layers["stem"] = self._layer(stem)
        self.graph.node(LUMA_INPUT, "Placeholder")
        self._expect(layers["stem"], LUMA_INPUT)
        layers["merge"], layers["restore"] = self._upsampler(stem)
        entries.append(layers["merge"].source)
        links = [self._nodes(entry, ends, target) for target, entry in enumerate(entries, start=1)]
        genome = Genome(
            tuple(cell for _, cell in cells), tuple(links[1:]), self._stem_channels(layers["stem"])
        )
        return genome, self._weights(genome, layers)

    def _weights(self, genome: Genome, layers: dict[str, _Layer]) -> dict[str, Tensor]:
        if 4 * cost(genome).params > LARGEST_FILE:
            raise GraphError(
                "not a FALSR graph: its genome has more weights than the file can hold"
            )
        with torch.device("meta"):
            shapes = {
                name: tuple(tensor.shape) for name, tensor in Network(genome).state_dict().items()
            }
        weights: dict[str, Tensor] = {}
        for name, layer in layers.items():
            outputs, inputs, height, width = shapes[f"{name}.weight"]
            if name.endswith(".depthwise"):  # HWCM -> (C, 1, H, W)
                kernel = self.graph.tensor(layer.kernel, (height, width, outputs, 1)).permute(
                    2, 3, 0, 1
                )
            else:  # HWIO -> OIHW
                kernel = self.graph.tensor(layer.kernel, (height, width, inputs, outputs)).permute(
                    3, 2, 0, 1
                )
            weights[f"{name}.weight"] = kernel.contiguous()
            weights[f"{name}.bias"] = self.graph.tensor(layer.bias, (outputs,)).contiguous()
        return weights

    def _cells(self) -> list[tuple[str, Cell]]:
        """The cells in order, each with the prefix of its nodes' names."""
        found = {match.groups() for name in self.graph.nodes if (match := _CELL.match(name))}
        if not found:
            raise GraphError(
                "not a FALSR graph: no node is named after a cell, as in .../cell0/conv_f64_k3_b4_isskip_b0/kernel"
            )
        cells = sorted((int(index), prefix, Cell.parse(name)) for prefix, index, name in found)
        if [index for index, _, _ in cells] != list(range(len(cells))):
            raise GraphError(
                f"not a FALSR graph: its cells are numbered {[index for index, _, _ in cells][:16]}, expected 0, 1, 2, ..."
            )
        return [(prefix, cell) for _, prefix, cell in cells]

    def _convs(self, prefix: str, cell: Cell) -> tuple[dict[str, _Layer], str]:
        """The layers of a conv or grouped conv cell, in order, and the wire that leaves it."""
        wires = [f"{prefix}_b{i}/Relu" for i in range(cell.repeats)]
        layers = [self._layer(wire, groups=cell.operator.groups) for wire in wires]
        for before, layer in zip(wires, layers[1:], strict=False):
            self._expect(layer, before)
        return {f"layers.{i}": layer for i, layer in enumerate(layers)}, self._residual(
            prefix, cell, wires[0], wires[-1]
        )

    def _bottlenecks(self, prefix: str, cell: Cell) -> tuple[dict[str, _Layer], str]:
        """The layers of an inverted bottleneck cell, in order, and the wire that leaves it."""
        first = wire = f"{prefix}_conv_supple/BiasAdd"
        layers = {"entry": self._layer(wire, relu=False)}
        for i in range(cell.repeats):
            expanded, deepened, projected = (
                f"{prefix}_b{i}_conv_1/Relu",
                f"{prefix}_b{i}depth_wise/Relu",
                f"{prefix}_b{i}_conv_2/BiasAdd",
            )
            expand, depthwise, project = (
                self._layer(expanded),
                self._layer(deepened, depthwise=True),
                self._layer(projected, relu=False),
            )
            self._expect(expand, wire)
            self._expect(depthwise, expanded)
            self._expect(project, deepened)
            wire = self._sum(projected, wire)
            layers |= {
                f"blocks.{i}.expand": expand,
                f"blocks.{i}.depthwise": depthwise,
                f"blocks.{i}.project": project,
            }
        return layers, self._residual(prefix, cell, first, wire)

    def _residual(self, prefix: str, cell: Cell, first: str, last: str) -> str:
        """The wire that leaves a cell: the sum of its first and last layer where it has a residual, else the last layer."""
        name = f"{prefix}elementwise_layer"
        if cell.canonical().residual:
            self.graph.node(name, "Add", "AddV2")
            return self._sum(first, last)
        if name in self.graph.nodes:
            raise GraphError(f"not a FALSR graph: {name!r} adds where cell {cell.name} does not")
        return last

    def _upsampler(self, stem: str) -> tuple[_Layer, _Layer]:
        """The layers before and after the sub-pixel shuffle."""
        shuffles = list(self.graph.of("DepthToSpace"))
        if len(shuffles) != 1 or attribute(shuffles[0], "block_size").i != SCALE:
            raise GraphError(
                f"not a FALSR graph: expected one DepthToSpace node of block size {SCALE}"
            )
        (total,) = self.graph.only_wires(shuffles[0], 1)
        terms = self.graph.only_wires(self.graph.node(total, "Add", "AddV2"), 2)
        if stem not in terms:
            raise GraphError("not a FALSR graph: its upsampler does not add node 0")
        terms.remove(stem)
        convs = {
            node.name
            for node in self.graph.of("Conv2D")
            if shuffles[0].name in self.graph.wires(node)
        }
        outputs = [
            node.name
            for node in self.graph.of("BiasAdd")
            if convs.intersection(self.graph.wires(node))
        ]
        if len(outputs) != 1:
            raise GraphError(
                "not a FALSR graph: expected one convolution after its DepthToSpace node"
            )
        restore = self._layer(outputs[0], relu=False)
        self._expect(restore, shuffles[0].name)
        return self._layer(terms[0]), restore

    def _nodes(self, entry: str, ends: dict[str, int], target: int) -> tuple[int, ...]:
        """The links of a target that reads ``entry``: the nodes concatenated there, without the one before the target."""
        wires = [entry] if entry in ends else self._concatenated(entry)
        if unknown := [wire for wire in wires if wire not in ends]:
            raise GraphError(
                f"not a FALSR graph: target {target} reads {unknown[0]!r}, which is no node's output"
            )
        nodes = tuple(ends[wire] for wire in wires)
        if nodes[-1] != target - 1:
            raise GraphError(
                f"not a FALSR graph: target {target} reads the nodes {list(nodes)}, and must read node {target - 1} last"
            )
        return nodes[:-1]

    def _concatenated(self, wire: str) -> list[str]:
        *wires, axis = self.graph.wires(self.graph.node(wire, "ConcatV2")) or [""]
        self._channel_axis(axis)
        if not wires:
            raise GraphError(f"not a FALSR graph: {wire!r} concatenates nothing")
        return wires

    def _channel_axis(self, axis: str) -> None:
        if self.graph.integer(axis) not in {3, -1}:
            raise GraphError(f"not a FALSR graph: {axis!r} is not the channel axis")

    def _layer(
        self, end: str, *, relu: bool = True, groups: int = 1, depthwise: bool = False
    ) -> _Layer:
        """The convolution whose output, with bias and ReLU, is the wire ``end``."""
        if relu:
            (end,) = self.graph.only_wires(self.graph.node(end, "Relu"), 1)
        total, bias = self.graph.only_wires(self.graph.node(end, "BiasAdd"), 2)
        if groups > 1:
            return self._grouped(total, bias, groups)
        source, kernel = self._conv(total, "DepthwiseConv2dNative" if depthwise else "Conv2D")
        return _Layer(kernel, bias, source)

    def _grouped(self, total: str, bias: str, groups: int) -> _Layer:
        """TensorFlow 1 has no grouped convolution: input and kernel are split, convolved in pairs, and concatenated."""
        pairs = [self._conv(part, "Conv2D") for part in self._concatenated(total)]
        split, kernel_split = pairs[0]
        if pairs != [(_output(split, i), _output(kernel_split, i)) for i in range(groups)]:
            raise GraphError(
                f"not a FALSR graph: {total!r} is not a convolution of {groups} groups"
            )
        return _Layer(self._split(kernel_split, groups), bias, self._split(split, groups))

    def _split(self, name: str, parts: int) -> str:
        node = self.graph.node(name, "Split")
        axis, source = self.graph.only_wires(node, 2)
        self._channel_axis(axis)
        if attribute(node, "num_split").i != parts:
            raise GraphError(f"not a FALSR graph: {name!r} does not split into {parts}")
        return source

    def _conv(self, name: str, op: str) -> tuple[str, str]:
        """What a convolution convolves, and with what."""
        node = self.graph.node(name, op)
        source, kernel = self.graph.only_wires(node, 2)
        steps = [*attribute(node, "strides").list.i, *attribute(node, "dilations").list.i]
        if (
            attribute(node, "padding").s != b"SAME"
            or attribute(node, "data_format").s not in {b"", b"NHWC"}
            or set(steps) != {1}
        ):
            raise GraphError(
                f"not a FALSR graph: {name!r} is not an NHWC convolution of stride 1 with padding SAME"
            )
        return source, kernel

    def _expect(self, layer: _Layer, source: str) -> None:
        if layer.source != source:
            raise GraphError(
                f"not a FALSR graph: the layer of {layer.kernel!r} reads {layer.source!r}, expected {source!r}"
            )

    def _sum(self, one: str, other: str) -> str:
        name = self.adds.get(frozenset((one, other)))
        if name is None:
            raise GraphError(f"not a FALSR graph: nothing adds {one!r} and {other!r}")
        return name

    def _stem_channels(self, stem: _Layer) -> int:
        dims = attribute(self.graph.node(stem.kernel, "Const"), "value").tensor.tensor_shape.dim
        return int(dims[-1].size) if dims else 0


def _output(wire: str, index: int) -> str:
    return f"{wire}:{index}" if index else wire


def attribute(node: Any, key: str) -> Any:
    """A node's attribute, empty where the node has none of that name."""
    return next(
        (pair.value for pair in node.attr if pair.key == key), message_types()["AttrValue"]()
    )


@cache
def message_types() -> dict[str, Any]:
    """The message classes of :data:`_MESSAGES`."""
    field_types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="graph.proto", package="tensorflow", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        record = file.message_type.add(name=name)
        for field, number, spelling in fields:
            kind = spelling.removesuffix("*")
            label = field_types.LABEL_OPTIONAL if kind == spelling else field_types.LABEL_REPEATED
            if kind in _MESSAGES:
                record.field.add(
                    name=field,
                    number=number,
                    label=label,
                    type=field_types.TYPE_MESSAGE,
                    type_name=f".tensorflow.{kind}",
                )
            else:
                record.field.add(
                    name=field,
                    number=number,
                    label=label,
                    type=field_types.Type.Value(f"TYPE_{kind.upper()}"),
                )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.{name}"))
        for name in _MESSAGES
    }
