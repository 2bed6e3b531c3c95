"""Reading of frozen TensorFlow graphs (serialised GraphDefs): nodes, their inputs, constants.

Graphs are parsed by the protobuf runtime with definitions of the few TensorFlow messages that are
needed, which are written out below. This needs no TensorFlow, and untrusted bytes only meet a
well-tested parser.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory  # type: ignore[import-untyped,unused-ignore]
from torch import Tensor

from falsr_nas.core.errors import UserError

_MOST_NODES = 100_000
_FLOAT, _INT32 = 1, 3  # TensorFlow's DataType

# The fields that are read of the messages in tensorflow/core/framework/{graph,node_def,attr_value,
# tensor,tensor_shape}.proto: name, number and type, with "*" for repeated fields. The parser skips
# all others. Nodes are bytes at first, so that they can be counted before they take memory. The map
# of attributes is declared as what it is on the wire: a list of pairs.
_MESSAGES = {
    "GraphDef": "node 1 bytes*",
    "NodeDef": "name 1 string, op 2 string, input 3 string*, attr 5 Attr*",
    "Attr": "key 1 string, value 2 AttrValue",
    "AttrValue": "list 1 ListValue, s 2 bytes, i 3 int64, tensor 8 TensorProto",
    "ListValue": "i 3 int64*",
    "TensorProto": "dtype 1 int32, tensor_shape 2 TensorShapeProto, tensor_content 4 bytes,"
    " float_val 5 float*, int_val 7 int32*",
    "TensorShapeProto": "dim 2 Dim*",
    "Dim": "size 1 int64",
}


class GraphError(UserError):
    """A graph that is damaged or not of the FALSR family; the message says why."""


def foreign(reason: str) -> GraphError:
    """Return the error for a graph that computes something else than a network of the family."""
    return GraphError(f"not a FALSR graph: {reason}")


class Graph:
    """The nodes of a serialised GraphDef.

    A *wire* is an output of a node, written as in GraphDefs: ``name:index``, or ``name`` for output
    0. Wires are resolved past Identity nodes.

    Attributes:
        nodes: the nodes by name.

    Raises:
        GraphError: ``data`` is no GraphDef, has no nodes or too many, or two nodes share a name.
    """

    def __init__(self, data: bytes) -> None:
        types = message_types()
        try:
            records = types["GraphDef"].FromString(data).node
            if len(records) > _MOST_NODES:
                raise foreign(f"{len(records)} nodes")
            nodes = [types["NodeDef"].FromString(record) for record in records]
        except message.DecodeError:
            raise GraphError("not a TensorFlow GraphDef, or cut short") from None
        if not nodes:
            raise GraphError("not a TensorFlow GraphDef: it has no nodes")
        self.nodes: dict[str, Any] = {node.name: node for node in nodes}
        self._sources: dict[str, str] = {}
        if len(self.nodes) < len(nodes):
            raise foreign("two nodes share a name")

    def node(self, name: str, *ops: str) -> Any:
        """Return a node by name. Raises GraphError unless its operation is one of ``ops``."""
        node = self.nodes.get(name)
        if node is None:
            raise GraphError(f"not a complete FALSR graph: it has no node {name!r}")
        if node.op not in ops:
            raise foreign(f"node {name!r} is {node.op!r}, expected {' or '.join(ops)}")
        return node

    def nodes_of(self, op: str) -> Iterator[Any]:
        """Iterate over the nodes of an operation."""
        return (node for node in self.nodes.values() if node.op == op)

    def inputs(self, node: Any, count: int | None = None) -> list[str]:
        """Return the wires that a node reads, without control inputs.

        Raises GraphError unless there are ``count``, where that is given.
        """
        wires = [self._source(wire) for wire in node.input if not wire.startswith("^")]
        if count is not None and len(wires) != count:
            raise foreign(f"node {node.name!r} reads {len(wires)} tensors, expected {count}")
        return wires

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
                raise foreign("its Identity nodes form a circle")
            passed.append(wire)
            wire = node.input[0]
        # Remembered, so that a long chain of Identity nodes is followed only once.
        self._sources |= dict.fromkeys(passed, wire)
        return wire

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return a float constant.

        Raises:
            GraphError: it is missing, has another shape, or holds numbers that are not finite. The
                shape is checked before memory is allocated.
        """
        value = self._constant(name, _FLOAT)
        if (found := tuple(dim.size for dim in value.tensor_shape.dim)) != shape:
            raise GraphError(
                f"constant {name!r} has shape {list(found[:8])}, its genome needs {list(shape)}"
            )
        count = math.prod(shape)
        if len(value.tensor_content) == 4 * count:
            flat = torch.frombuffer(bytearray(value.tensor_content), dtype=torch.float32)
        elif not value.tensor_content and len(value.float_val) in {1, count}:
            # A single value stands for all.
            flat = torch.tensor(list(value.float_val)).expand(count)
        else:
            raise GraphError(f"constant {name!r} declares {count} numbers and holds another amount")
        if not flat.isfinite().all():
            raise GraphError(f"constant {name!r} holds numbers that are not finite")
        return flat.reshape(shape)

    def integer(self, name: str) -> int:
        """Return a scalar integer constant. Raises GraphError if there is none of that name."""
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


def attribute(node: Any, key: str) -> Any:
    """Return an attribute of a node, or an empty one where the node has none of that name."""
    values = (pair.value for pair in node.attr if pair.key == key)
    return next(values, message_types()["AttrValue"]())


@cache
def message_types() -> dict[str, Any]:
    """Return the classes of the protobuf messages by name."""
    field_types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="graph.proto", package="tensorflow", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        record = file.message_type.add(name=name)
        for declaration in fields.split(", "):
            field, number, declared = declaration.split()
            kind = declared.removesuffix("*")
            label = field_types.LABEL_OPTIONAL if kind == declared else field_types.LABEL_REPEATED
            added = record.field.add(name=field, number=int(number), label=label)
            if kind in _MESSAGES:
                added.type = field_types.TYPE_MESSAGE
                added.type_name = f".tensorflow.{kind}"
            else:
                added.type = field_types.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.{name}"))
        for name in _MESSAGES
    }
