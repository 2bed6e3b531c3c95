"""Damaged TensorFlow graphs: changed bytes, and changed nodes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.core.errors import UserError
from falsr_nas.models.tf_graph import message_types
from falsr_nas.models.tf_import import LUMA_INPUT, import_graph
from falsr_nas.networks.network import Network
from fuzz.mutations import fuzz, mutated

TYPES = message_types()


def small_graph() -> bytes:
    """The graph of ``stem_f4 conv_f4_k1_b1_noskip``, laid out like the published graphs."""
    nodes: list = []

    def node(name: str, op: str, inputs: tuple[str, ...] = (), **values: object) -> str:
        nodes.append(
            TYPES["NodeDef"](
                name=name,
                op=op,
                input=inputs,
                attr=[{"key": key, "value": value} for key, value in values.items()],
            )
        )
        return name

    def constant(name: str, *shape: int) -> str:
        content = np.linspace(-1, 1, int(np.prod(shape)), dtype="<f4").tobytes()
        dims = [{"size": side} for side in shape]
        return node(
            name,
            "Const",
            value={
                "tensor": {"dtype": 1, "tensor_shape": {"dim": dims}, "tensor_content": content}
            },
        )

    def conv(name: str, source: str, inputs: int, outputs: int, side: int) -> str:
        kernel = node(
            f"{name}/read", "Identity", (constant(f"{name}/kernel", side, side, inputs, outputs),)
        )
        ones = {"list": {"i": [1, 1, 1, 1]}}
        wire = node(
            f"{name}/Conv2D",
            "Conv2D",
            (source, kernel),
            strides=ones,
            dilations=ones,
            padding={"s": b"SAME"},
        )
        return node(f"{name}/BiasAdd", "BiasAdd", (wire, constant(f"{name}/bias", outputs)))

    def active(name: str, *layer: object) -> str:
        return node(f"{name}/Relu", "Relu", (conv(name, *layer),))  # type: ignore[arg-type]

    stem = active("stem", node(LUMA_INPUT, "Placeholder"), 1, 4, 3)
    cell = active("cell0/conv_f4_k1_b1_noskip_b0", stem, 4, 4, 1)
    total = node("add", "Add", (active("merge", cell, 4, 4, 3), stem))
    conv("yout", node("shuffle", "DepthToSpace", (total,), block_size={"i": 2}), 1, 1, 3)
    return TYPES["GraphDef"](node=[one.SerializeToString() for one in nodes]).SerializeToString()


GRAPH = small_graph()
NODES = [TYPES["NodeDef"].FromString(record) for record in TYPES["GraphDef"].FromString(GRAPH).node]
NAMES = [node.name for node in NODES]


def check(data: bytes) -> None:
    try:
        network = import_graph(data)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(network, Network)
        assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_the_graph_itself_is_read() -> None:
    assert str(import_graph(GRAPH).genome) == "stem_f4 conv_f4_k1_b1_noskip |"


@fuzz
@given(mutated([GRAPH]))
def test_damaged_bytes(data: bytes) -> None:
    check(data)


@fuzz
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    check(data)


name = st.sampled_from(NAMES) | st.sampled_from(
    ["cell0/conv_f9999_k9_b9_isskip_b0/kernel", "cell63/groupConG2_f4_k1_b1_noskip_b0", ""]
)
wire = name | name.map("^{}".format) | name.map("{}:1".format)
op = st.sampled_from(
    sorted({node.op for node in NODES} | {"ConcatV2", "Split", "AddV2", "DepthwiseConv2dNative"})
)
number = st.sampled_from([-(2**63), -1, 0, 1, 2, 2**31, 2**63 - 1])
change = st.one_of(
    st.tuples(st.just("name"), st.integers(0, len(NODES) - 1), name),
    st.tuples(st.just("op"), st.integers(0, len(NODES) - 1), op),
    st.tuples(
        st.just("input"),
        st.integers(0, len(NODES) - 1),
        st.lists(name | name.map("^{}".format) | name.map("{}:1".format), max_size=4),
    ),
    st.tuples(st.just("size"), st.integers(0, len(NODES) - 1), number),
    st.tuples(st.just("drop"), st.integers(0, len(NODES) - 1), st.none()),
    st.tuples(st.just("add"), st.tuples(name, op), st.lists(name, max_size=4)),
)


@fuzz
@given(st.lists(change, min_size=1, max_size=5))
def test_damaged_nodes(changes: list[tuple]) -> None:
    nodes = [TYPES["NodeDef"].FromString(node.SerializeToString()) for node in NODES]
    dropped: set[int] = set()
    for what, where, value in changes:
        if what == "add":
            nodes.append(TYPES["NodeDef"](name=where[0], op=where[1], input=value))
        elif what == "drop":
            dropped.add(where)
        elif what == "input":
            nodes[where].input[:] = value
        elif what == "size":
            for pair in nodes[where].attr:
                pair.value.i = value
                for dim in pair.value.tensor.tensor_shape.dim:
                    dim.size = value
        else:
            setattr(nodes[where], what, value)
    check(
        TYPES["GraphDef"](
            node=[node.SerializeToString() for i, node in enumerate(nodes) if i not in dropped]
        ).SerializeToString()
    )
