"""Import of graphs: the published ones, and others that are written and run by these tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv2d, relu

from falsr_nas.models.tf_graph import Graph, GraphError, message_types
from falsr_nas.models.tf_import import LUMA_INPUT, _Importer, import_graph, load_graph
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace

REFERENCE = Path(__file__).parent / "tensorflow_reference.npz"
"""A crop of scikit-image's astronaut, and FALSR-A's and FALSR-B's outputs for it.

The outputs (``yout/BiasAdd``) were computed with TensorFlow 2.21, which these tests do not need.
"""

PARAMS = {"FALSR-A": 1_021_401, "FALSR-B": 324_745, "FALSR-C": 426_569}

SCOPE = "test_sr_evaluator_i1_b0_g"
FLOAT, INT32 = 1, 3


class GraphWriter:
    """Writes a genome's graph with random weights, laid out like the published graphs.

    Args:
        genome: the network.
        seed: of the weights.
        compact: store one number per constant, which stands for all of its values.
    """

    def __init__(self, genome: Genome, seed: int, *, compact: bool = False) -> None:
        self.types = message_types()
        self.compact = compact
        self.rng = np.random.default_rng(seed)
        self.nodes: list = []
        self.adds = self.concats = 0
        self.node(LUMA_INPUT, "Placeholder")
        stem = self.conv(f"n{genome.stem}s1/c", LUMA_INPUT, 1, genome.stem, 3)
        wires = [stem]
        for i, cell in enumerate(genome.cells):
            source = self.join([wires[j] for j in genome.inputs(i + 1)])
            wires.append(self.cell(f"cell{i}/{cell.name}", cell, source, genome.in_channels(i + 1)))
        target = genome.n + 1
        merge = self.conv(
            f"n{genome.stem}s1/2/0",
            self.join([wires[j] for j in genome.inputs(target)]),
            genome.in_channels(target),
            genome.stem,
            3,
        )
        shuffle = self.node(
            "pixelshufflerx2/2/0/DepthToSpace",
            "DepthToSpace",
            [self.add(merge, stem)],
            block_size=2,
        )
        self.output = self.conv("yout", shuffle, genome.stem // 4, 1, 3, activated=False)

    def bytes(self) -> bytes:
        return self.types["GraphDef"](
            node=[node.SerializeToString() for node in self.nodes]
        ).SerializeToString()

    def node(
        self, name: str, op: str, inputs: list[str] | None = None, **attributes: object
    ) -> str:
        if name != LUMA_INPUT:
            name = f"{SCOPE}/{name}"
        pairs = []
        for key, value in attributes.items():
            kind = {bytes: "s", int: "i", list: "list"}.get(type(value), "tensor")
            pairs.append({"key": key, "value": {kind: {"i": value} if kind == "list" else value}})
        self.nodes.append(self.types["NodeDef"](name=name, op=op, input=inputs or [], attr=pairs))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        kind = FLOAT if value.dtype == np.float32 else INT32
        tensor = self.types["TensorProto"](
            dtype=kind, tensor_shape={"dim": [{"size": side} for side in value.shape]}
        )
        if value.size > 1 and not self.compact:
            tensor.tensor_content = value.astype(value.dtype.newbyteorder("<")).tobytes()
        else:
            getattr(tensor, "float_val" if kind == FLOAT else "int_val").append(
                value[(0,) * value.ndim].item()
            )
        return self.node(name, "Const", value=tensor)

    def weight(self, name: str, *shape: int) -> str:
        scale = np.sqrt(1 / max(1, np.prod(shape[:-1])))
        value = (self.rng.standard_normal((1,) if self.compact else shape) * scale).astype(
            np.float32
        )
        value = np.broadcast_to(value, shape)
        return self.node(f"{name}/read", "Identity", [self.constant(name, value)])

    def plain(self, name: str, op: str, source: str, kernel: str) -> str:
        return self.node(
            name,
            op,
            [source, kernel],
            strides=[1, 1, 1, 1],
            dilations=[1, 1, 1, 1],
            padding=b"SAME",
            data_format=b"NHWC",
        )

    def conv(
        self,
        name: str,
        source: str,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        activated: bool = True,
    ) -> str:
        weight = self.weight(f"{name}/kernel", kernel, kernel, inputs, outputs)
        bias = self.weight(f"{name}/bias", outputs)
        end = self.node(
            f"{name}/BiasAdd",
            "BiasAdd",
            [self.plain(f"{name}/Conv2D", "Conv2D", source, weight), bias],
        )
        return self.node(f"{name}/Relu", "Relu", [end]) if activated else end

    def grouped(
        self, name: str, source: str, inputs: int, outputs: int, kernel: int, groups: int
    ) -> str:
        weight = self.weight(f"{name}/W", kernel, kernel, inputs // groups, outputs)
        splits = []
        for split, whole in (("split", source), ("split_1", weight)):
            axis = self.constant(f"{name}/{split}/split_dim", np.array(3, np.int32))
            splits.append(self.node(f"{name}/{split}", "Split", [axis, whole], num_split=groups))
        parts = []
        for i in range(groups):
            part, suffix = (f":{i}", f"_{i}") if i else ("", "")
            parts.append(
                self.plain(f"{name}/Conv2D{suffix}", "Conv2D", splits[0] + part, splits[1] + part)
            )
        axis = self.constant(f"{name}/concat/axis", np.array(3, np.int32))
        joined = self.node(f"{name}/concat", "ConcatV2", [*parts, axis])
        return self.node(
            f"{name}/Relu",
            "Relu",
            [self.node(f"{name}/bias_add", "BiasAdd", [joined, self.weight(f"{name}/b", outputs)])],
        )

    def depthwise(self, name: str, source: str, channels: int) -> str:
        weight = self.weight(f"{name}/W_depthwise2d", 3, 3, channels, 1)
        end = self.plain(f"{name}/depthwise", "DepthwiseConv2dNative", source, weight)
        end = self.node(
            f"{name}/bias_add", "BiasAdd", [end, self.weight(f"{name}/b_depthwise2d", channels)]
        )
        return self.node(f"{name}/Relu", "Relu", [end])

    def cell(self, name: str, cell, source: str, inputs: int) -> str:
        width, kernel, groups = cell.channels, cell.kernel, cell.operator.groups
        if cell.operator.kind == "invertBotCon":
            inner = width * cell.operator.factor
            first = wire = self.conv(
                f"{name}_conv_supple", source, inputs, width, 1, activated=False
            )
            for i in range(cell.repeats):
                x = self.conv(f"{name}_b{i}_conv_1", wire, width, inner, kernel)
                x = self.depthwise(f"{name}_b{i}depth_wise", x, inner)
                wire = self.add(
                    self.conv(f"{name}_b{i}_conv_2", x, inner, width, kernel, activated=False), wire
                )
        else:
            first = wire = ""
            for i in range(cell.repeats):
                layer = (f"{name}_b{i}", wire or source, width if i else inputs, width, kernel)
                wire = self.grouped(*layer, groups) if groups > 1 else self.conv(*layer)
                first = first or wire
        if cell.residual and cell.repeats > 1:
            return self.node(f"{name}elementwise_layer", "Add", [first, wire])
        return wire

    def add(self, one: str, other: str) -> str:
        self.adds += 1
        return self.node(
            "elementwise_layer" + (f"_{self.adds - 1}" if self.adds > 1 else ""),
            "Add",
            [one, other],
        )

    def join(self, wires: list[str]) -> str:
        if len(wires) == 1:
            return wires[0]
        name = "concat_layer" + (f"_{self.concats}" if self.concats else "")
        self.concats += 1
        return self.node(
            name, "ConcatV2", [*wires, self.constant(f"{name}/axis", np.array(-1, np.int32))]
        )


def run_graph(data: bytes, y: Tensor) -> Tensor:
    """Run a GraphDef operation by operation: (N, H, W, 1) -> (N, 2H, 2W, 1).

    This does not use any code of the importer.
    """
    types = message_types()
    nodes = {
        node.name: node
        for node in map(types["NodeDef"].FromString, types["GraphDef"].FromString(data).node)
    }
    done: dict[str, list[Tensor]] = {}

    def value(wire: str) -> Tensor:
        name, _, index = wire.partition(":")
        if name not in done:
            done[name] = compute(nodes[name])
        return done[name][int(index or 0)]

    def convolve(x: Tensor, kernel: Tensor, groups: int = 1) -> Tensor:  # kernel: (k, k, in, out)
        return conv2d(
            x.permute(0, 3, 1, 2),
            kernel.permute(3, 2, 0, 1),
            padding=kernel.shape[0] // 2,
            groups=groups,
        ).permute(0, 2, 3, 1)

    def compute(node) -> list[Tensor]:
        attributes = {pair.key: pair.value for pair in node.attr}
        if node.op == "Placeholder":
            return [y]
        if node.op == "Const":
            tensor = attributes["value"].tensor
            kind = np.float32 if tensor.dtype == FLOAT else np.int32
            flat = (
                np.frombuffer(tensor.tensor_content, kind)
                if tensor.tensor_content
                else np.array([*tensor.float_val, *tensor.int_val], kind)
            )
            return [
                torch.from_numpy(flat.reshape([dim.size for dim in tensor.tensor_shape.dim]).copy())
            ]
        inputs = [value(wire) for wire in node.input]
        match node.op:
            case "Identity":
                return inputs
            case "Conv2D":
                return [convolve(*inputs)]
            case "DepthwiseConv2dNative":
                x, kernel = inputs
                return [convolve(x, kernel.permute(0, 1, 3, 2), groups=x.shape[-1])]
            case "BiasAdd" | "Add":
                return [inputs[0] + inputs[1]]
            case "Relu":
                return [relu(inputs[0])]
            case "ConcatV2":
                return [torch.cat(inputs[:-1], dim=int(inputs[-1]))]
            case "Split":
                return list(inputs[1].chunk(attributes["num_split"].i, dim=int(inputs[0])))
            case "DepthToSpace":
                n, h, w, c = inputs[0].shape
                return [
                    inputs[0]
                    .reshape(n, h, w, 2, 2, c // 4)
                    .permute(0, 1, 3, 2, 4, 5)
                    .reshape(n, 2 * h, 2 * w, c // 4)
                ]
        raise AssertionError(node.op)

    end = next(name for name in nodes if name.endswith("yout/BiasAdd"))
    return value(end)


def outputs(network: Network, y: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.eval()(y)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_graphs_hold_the_published_genomes(name: str, data_root: Path) -> None:
    network = load_graph(data_root / "models" / f"{name}.pb")
    assert network.genome == PUBLISHED[name]
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_agree_with_their_graphs(name: str, data_root: Path) -> None:
    path = data_root / "models" / f"{name}.pb"
    with np.load(REFERENCE) as reference:
        y = torch.from_numpy(reference["y"])[None, None]
    expected = run_graph(path.read_bytes(), y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(outputs(load_graph(path), y), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["FALSR-A", "FALSR-B"])
def test_published_networks_agree_with_tensorflow(name: str, data_root: Path) -> None:
    network = load_graph(data_root / "models" / f"{name}.pb")
    with np.load(REFERENCE) as reference:
        output = outputs(network, torch.from_numpy(reference["y"])[None, None])[0, 0]
        np.testing.assert_allclose(output.numpy(), reference[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["FALSR-A", "FALSR-B"])
def test_run_graph_agrees_with_tensorflow(name: str, data_root: Path) -> None:
    with np.load(REFERENCE) as reference:
        output = run_graph(
            (data_root / "models" / f"{name}.pb").read_bytes(),
            torch.from_numpy(reference["y"])[None, :, :, None],
        )
        np.testing.assert_allclose(output[0, :, :, 0].numpy(), reference[name], rtol=0, atol=1e-5)


GENOMES = [
    # Grouped convolutions that read node 0: its channels cannot be permuted to PyTorch's sub-pixel
    # order when weights are imported, so the shuffle must be TensorFlow's.
    Genome.parse(
        "stem_f32 groupConG4_f16_k3_b2_isskip groupConG2_f32_k1_b4_noskip"
        " invertBotConE2_f16_k1_b1_noskip | 0->2 0,1->3 0,1->4"
    ),
    Genome.parse("stem_f16 invertBotConE1_f8_k3_b2_isskip conv_f4_k5_b1_isskip | 0->3"),
    Genome.parse("stem_f4 conv_f4_k1_b1_noskip"),
]


@pytest.mark.parametrize("seed", range(12))
def test_any_graph_of_the_family(seed: int) -> None:
    space = SearchSpace(
        n=1 + seed % 4,
        channels=(8, 16),
        operators=("conv", "groupConG2", "groupConG4", "invertBotConE2", "invertBotConE3"),
    )
    genome = GENOMES[seed] if seed < len(GENOMES) else space.sample(np.random.default_rng(seed))
    data = GraphWriter(genome, seed).bytes()
    network = import_graph(data)
    assert network.genome == genome
    y = torch.rand(2, 9, 11, 1, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        outputs(network, y.permute(0, 3, 1, 2)),
        run_graph(data, y).permute(0, 3, 1, 2),
        rtol=1e-4,
        atol=1e-5,
    )


SMALL = Genome.parse(
    "conv_f8_k3_b2_isskip groupConG2_f8_k3_b1_noskip invertBotConE2_f8_k1_b2_noskip"
    " | 0->2 1->3 0,1->4"
)


def node_named(writer: GraphWriter, ending: str):
    return next(node for node in writer.nodes if node.name.endswith(ending))


def swap_residual(writer: GraphWriter) -> None:
    node_named(writer, "conv_f8_k3_b2_isskipelementwise_layer").input[0] = LUMA_INPUT


def drop_residual(writer: GraphWriter) -> None:
    for node in writer.nodes:
        for i, wire in enumerate(node.input):
            node.input[i] = wire.replace("isskipelementwise_layer", "isskip_b1/Relu")


def add_residual(writer: GraphWriter) -> None:
    writer.node("cell2/invertBotConE2_f8_k1_b2_noskipelementwise_layer", "Add", ["x", "y"])


def relu_six(writer: GraphWriter) -> None:
    node_named(writer, "cell0/conv_f8_k3_b2_isskip_b1/Relu").op = "Relu6"


def stride_two(writer: GraphWriter) -> None:
    next(
        pair
        for pair in node_named(writer, "cell0/conv_f8_k3_b2_isskip_b0/Conv2D").attr
        if pair.key == "strides"
    ).value.list.i[1] = 2


def wrong_axis(writer: GraphWriter) -> None:
    next(
        pair for pair in node_named(writer, "concat_layer/axis").attr if pair.key == "value"
    ).value.tensor.int_val[0] = 1


def swapped_groups(writer: GraphWriter) -> None:
    node_named(writer, "groupConG2_f8_k3_b1_noskip_b0/concat").input[:2] = list(
        node_named(writer, "noskip_b0/concat").input[1::-1]
    )


def no_cell(writer: GraphWriter) -> None:
    for node in writer.nodes:
        node.name = node.name.replace("cell1/", "cell7/")
        for i, wire in enumerate(node.input):
            node.input[i] = wire.replace("cell1/", "cell7/")


def not_finite(writer: GraphWriter) -> None:
    tensor = next(
        pair for pair in node_named(writer, "n32s1/c/bias").attr if pair.key == "value"
    ).value.tensor
    tensor.tensor_content = np.full(32, np.nan, np.float32).tobytes()


def huge_shape(writer: GraphWriter) -> None:
    tensor = next(
        pair for pair in node_named(writer, "n32s1/c/bias").attr if pair.key == "value"
    ).value.tensor
    tensor.tensor_shape.dim[0].size = 2**40


def huge_stem(writer: GraphWriter) -> None:
    tensor = next(
        pair for pair in node_named(writer, "n32s1/c/kernel").attr if pair.key == "value"
    ).value.tensor
    tensor.tensor_shape.dim[3].size = 2**40


def circle(writer: GraphWriter) -> None:
    node_named(writer, "n32s1/c/bias/read").input[0] = f"{SCOPE}/n32s1/c/bias/read"


def twice(writer: GraphWriter) -> None:
    writer.nodes.append(writer.nodes[3])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swap_residual, "nothing adds"),
        (drop_residual, "no node's output"),
        (add_residual, "adds where cell"),
        (relu_six, "is 'Relu6', expected Relu"),
        (stride_two, "stride 1"),
        (wrong_axis, "channel axis"),
        (swapped_groups, "2 groups"),
        (no_cell, "numbered"),
        (not_finite, "not finite"),
        (huge_shape, "has shape"),
        (huge_stem, "stem"),
        (circle, "circle"),
        (twice, "share a name"),
    ],
)
def test_a_graph_that_computes_something_else_is_refused(
    damage: Callable[[GraphWriter], None], message: str
) -> None:
    writer = GraphWriter(SMALL, 0)
    import_graph(writer.bytes())
    damage(writer)
    with pytest.raises(GraphError, match=message):
        import_graph(writer.bytes())


def test_one_number_can_stand_for_a_whole_constant() -> None:
    data = GraphWriter(SMALL, 0, compact=True).bytes()
    network = import_graph(data)
    assert network.stem.weight.unique().numel() == 1
    torch.testing.assert_close(network.stem.bias[:4], network.stem.bias[4:8])


def test_but_not_for_more_weights_than_a_file_could_hold() -> None:
    # The largest genome that can be written has 1.9 TB of weights.
    genome = Genome.parse(" ".join(["conv_f1024_k15_b32_noskip"] * 64))
    data = GraphWriter(genome, 0, compact=True).bytes()
    assert len(data) < 10_000_000
    with pytest.raises(GraphError, match="more weights than"):
        import_graph(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x0a\x00", b"not a graph at all", bytes(1000), b"\x0a\x7f" * 50]
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(GraphError):
        import_graph(data)


VALID = GraphWriter(SMALL, 0).bytes()


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(GraphError):
        import_graph(data)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, len(VALID) - 1))
def test_a_graph_cut_short_is_refused(length: int) -> None:
    with pytest.raises(GraphError):
        import_graph(VALID[:length])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 8 * len(VALID) - 1), min_size=1, max_size=8))
def test_flipped_bits_are_refused_or_harmless(bits: list[int]) -> None:
    damaged = bytearray(VALID)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    try:
        network = import_graph(bytes(damaged))
    except GraphError:
        return
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_changed_operations_are_refused() -> None:
    """Flipped bits mostly hit weights, so operations are changed in a test of their own."""
    rng = random.Random(0)
    for _ in range(60):
        writer = GraphWriter(SMALL, 0)
        victim = rng.choice([node for node in writer.nodes if node.op not in ("Const", "Identity")])
        victim.op = rng.choice(
            [op for op in ("Relu", "Add", "Const", "ConcatV2", "", "Split") if op != victim.op]
        )
        with pytest.raises(GraphError):
            import_graph(writer.bytes())


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.pb"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: takes no disk
    with pytest.raises(GraphError, match="limit"):
        load_graph(path)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pb"
    path.write_bytes(b"nonsense")
    with pytest.raises(GraphError, match=r"x\.pb: not a TensorFlow GraphDef"):
        load_graph(path)


def test_the_reference_is_the_crop_that_it_is_described_as() -> None:
    skimage_data = pytest.importorskip("skimage.data")
    rgb = skimage_data.astronaut()[60:116, 180:244] / 255
    with np.load(REFERENCE) as reference:
        np.testing.assert_allclose(reference["y"], rgb @ [0.299, 0.587, 0.114], atol=1e-6)


class CountingDict(dict):
    """Counts how often something is looked up."""

    count = 0

    def get(self, *arguments):
        self.count += 1
        return super().get(*arguments)


def test_long_chains_are_followed_once() -> None:
    """1,000 sums read the end of a chain of 1,000 Identity nodes.

    A hostile graph could otherwise make the importer take the square of 50,000 steps.
    """
    types = message_types()
    chain = [
        types["NodeDef"](name=f"i{i}", op="Identity", input=[f"i{i - 1}"]) for i in range(1000)
    ]
    sums = [types["NodeDef"](name=f"a{i}", op="Add", input=["i999", f"i{i}"]) for i in range(1000)]
    graph = Graph(
        types["GraphDef"](
            node=[node.SerializeToString() for node in chain + sums]
        ).SerializeToString()
    )
    graph.nodes = CountingDict(graph.nodes)
    assert _Importer(graph).sums[frozenset({"i-1"})] == "a999"
    assert graph.nodes.count < 5000
