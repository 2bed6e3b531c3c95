"""Import of FALSR's TensorFlow graphs: from a frozen GraphDef (``.pb``) to a :class:`Network`.

The genome is read from the graph: names of nodes hold the cells
(``.../cell3/conv_f64_k3_b4_isskip_b0/kernel``), and ConcatV2 nodes the connections. Names only say
where to look: every layer is then followed along its inputs, and a graph that computes anything
other than the network of its genome is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from falsr_nas.models.tf_graph import Graph, GraphError, attribute, foreign
from falsr_nas.networks.network import Network
from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.ends import SCALE, Ends
from falsr_nas.space.errors import GenomeError
from falsr_nas.space.genome import Genome

LARGEST_FILE = 64 * 2**20
"""Most bytes of a graph: three times what the paper's space needs."""

LUMA_INPUT = "input_image_evaluate_y"
"""Placeholder of the luma plane (N, H, W, 1) in the published graphs."""

_CELL = re.compile(
    r"((?:.*/)?cell(\d{1,3})/"
    r"([A-Za-z0-9]{1,32}_f\d{1,6}_k\d{1,4}_b\d{1,4}_(?:isskip|noskip)))"
)


def load_graph(path: Path) -> Network:
    """Load the network of a ``.pb`` file.

    Raises:
        GraphError: the file is damaged or not a graph of this family.
        OSError: the file cannot be read.
    """
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise GraphError(
            f"{path}: {size} bytes is more than any graph of this family; the limit is"
            f" {LARGEST_FILE}"
        )
    try:
        return import_graph(path.read_bytes())
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def import_graph(data: bytes) -> Network:
    """Return the network of a serialised GraphDef.

    Raises:
        GraphError: ``data`` is not a graph of this family, whatever it is.
    """
    try:
        graph = Graph(data)
        genome, weights = _Importer(graph).read()
    except GenomeError as error:
        raise foreign(f"{error}") from None
    network = Network(genome)
    network.load_state_dict(weights)
    return network


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution in a graph: the names of its constants, and the wire that it reads."""

    kernel: str
    bias: str
    source: str


class _Importer:
    """Follows a graph from its input to its output, collecting the genome and the weights."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sums: dict[frozenset[str], str] = {
            frozenset(graph.inputs(node)): node.name
            for op in ("Add", "AddV2")
            for node in graph.nodes_of(op)
        }

    def read(self) -> tuple[Genome, dict[str, Tensor]]:
        """Return the genome, and the weights by their names in :class:`Network`."""
        ends: dict[str, int] = {}  # the wire that carries a node -> the node
        entries: list[str] = []  # the wire that each target reads
        layers: dict[str, _Layer] = {}
        cells = self._cells()
        for i, (prefix, cell) in enumerate(cells):
            inverted = cell.operator.kind == "invertBotCon"
            found, end = (self._bottlenecks if inverted else self._convs)(prefix, cell)
            layers |= {f"cells.{i}.{name}": layer for name, layer in found.items()}
            entries.append(next(iter(found.values())).source)
            ends[end] = i + 1
        stem = entries[0]  # cell block 1 reads node 0 alone
        ends[stem] = 0
        layers["stem"] = self._layer(stem)
        self.graph.node(LUMA_INPUT, "Placeholder")
        self._expect_source(layers["stem"], LUMA_INPUT)
        layers["merge"], layers["restore"] = self._upsampler(stem)
        entries.append(layers["merge"].source)
        links = [self._link(entry, ends, target) for target, entry in enumerate(entries, start=1)]
        kernel = attribute(self.graph.node(layers["stem"].kernel, "Const"), "value").tensor
        dims = kernel.tensor_shape.dim
        stem_channels = int(dims[-1].size) if dims else 0
        genome = Genome(tuple(cell for _, cell in cells), tuple(links[1:]), Ends(stem_channels))
        return genome, self._weights(genome, layers)

    def _weights(self, genome: Genome, layers: dict[str, _Layer]) -> dict[str, Tensor]:
        if 4 * genome_cost(genome).params > LARGEST_FILE:
            raise foreign("its genome has more weights than the file can hold")
        with torch.device("meta"):
            state = Network(genome).state_dict()
        weights: dict[str, Tensor] = {}
        for name, layer in layers.items():
            outputs, inputs, height, width = state[f"{name}.weight"].shape
            if name.endswith(".depthwise"):  # HWC1 -> C1HW
                shape, order = (height, width, outputs, 1), (2, 3, 0, 1)
            else:  # HWIO -> OIHW
                shape, order = (height, width, inputs, outputs), (3, 2, 0, 1)
            kernel = self.graph.tensor(layer.kernel, shape).permute(order)
            weights[f"{name}.weight"] = kernel.contiguous()
            weights[f"{name}.bias"] = self.graph.tensor(layer.bias, (outputs,)).contiguous()
        return weights

    def _cells(self) -> list[tuple[str, Cell]]:
        """Return the cells in order, each with the prefix of its nodes' names."""
        found = {match.groups() for name in self.graph.nodes if (match := _CELL.match(name))}
        if not found:
            raise foreign(
                "no node is named after a cell, as in .../cell0/conv_f64_k3_b4_isskip_b0/kernel"
            )
        cells = sorted((int(index), prefix, Cell.parse(name)) for prefix, index, name in found)
        if (numbers := [index for index, _, _ in cells]) != list(range(len(cells))):
            raise foreign(f"its cells are numbered {numbers[:16]}, expected 0, 1, 2, ...")
        return [(prefix, cell) for _, prefix, cell in cells]

    def _convs(self, prefix: str, cell: Cell) -> tuple[dict[str, _Layer], str]:
        """Return the layers of a conv or grouped conv cell in order, and its output wire."""
        wires = [f"{prefix}_b{i}/Relu" for i in range(cell.repeats)]
        layers = [self._layer(wire, groups=cell.operator.groups) for wire in wires]
        for before, layer in zip(wires, layers[1:], strict=False):
            self._expect_source(layer, before)
        end = self._cell_output(prefix, cell, wires[0], wires[-1])
        return {f"layers.{i}": layer for i, layer in enumerate(layers)}, end

    def _bottlenecks(self, prefix: str, cell: Cell) -> tuple[dict[str, _Layer], str]:
        """Return the layers of an inverted bottleneck cell in order, and its output wire."""
        first = wire = f"{prefix}_conv_supple/BiasAdd"
        layers = {"entry": self._layer(wire, relu=False)}
        for i in range(cell.repeats):
            expanded = f"{prefix}_b{i}_conv_1/Relu"
            filtered = f"{prefix}_b{i}depth_wise/Relu"
            projected = f"{prefix}_b{i}_conv_2/BiasAdd"
            block = {
                "expand": self._layer(expanded),
                "depthwise": self._layer(filtered, depthwise=True),
                "project": self._layer(projected, relu=False),
            }
            for layer, source in zip(block.values(), (wire, expanded, filtered), strict=True):
                self._expect_source(layer, source)
            wire = self._sum(projected, wire)
            layers |= {f"blocks.{i}.{name}": layer for name, layer in block.items()}
        return layers, self._cell_output(prefix, cell, first, wire)

    def _cell_output(self, prefix: str, cell: Cell, first: str, last: str) -> str:
        """Return a cell's output wire, given those of its first and last layer."""
        name = f"{prefix}elementwise_layer"
        if cell.has_residual:
            self.graph.node(name, "Add", "AddV2")
            return self._sum(first, last)
        if name in self.graph.nodes:
            raise foreign(f"{name!r} adds where cell {cell.name} does not")
        return last

    def _upsampler(self, stem: str) -> tuple[_Layer, _Layer]:
        """Return the layers before and after the sub-pixel shuffle."""
        shuffles = list(self.graph.nodes_of("DepthToSpace"))
        if len(shuffles) != 1 or attribute(shuffles[0], "block_size").i != SCALE:
            raise foreign(f"expected one DepthToSpace node of block size {SCALE}")
        (total,) = self.graph.inputs(shuffles[0], 1)
        terms = self.graph.inputs(self.graph.node(total, "Add", "AddV2"), 2)
        if stem not in terms:
            raise foreign("its upsampler does not add node 0")
        terms.remove(stem)
        restore = self._layer(self._last_output(shuffles[0]), relu=False)
        self._expect_source(restore, shuffles[0].name)
        return self._layer(terms[0]), restore

    def _last_output(self, shuffle: Any) -> str:
        """Return the wire of the convolution that reads the shuffle, after its bias."""

        def readers(op: str, wires: set[str]) -> set[str]:
            nodes = self.graph.nodes_of(op)
            return {node.name for node in nodes if wires.intersection(self.graph.inputs(node))}

        outputs = readers("BiasAdd", readers("Conv2D", {shuffle.name}))
        if len(outputs) != 1:
            raise foreign("expected one convolution after its DepthToSpace node")
        return outputs.pop()

    def _link(self, entry: str, ends: dict[str, int], target: int) -> tuple[int, ...]:
        """Return the nodes that a target reads through the wire ``entry``, without its last."""
        wires = [entry] if entry in ends else self._concatenated(entry)
        if unknown := [wire for wire in wires if wire not in ends]:
            raise foreign(f"target {target} reads {unknown[0]!r}, which is no node's output")
        nodes = tuple(ends[wire] for wire in wires)
        if nodes[-1] != target - 1:
            raise foreign(
                f"target {target} reads the nodes {list(nodes)},"
                f" and must read node {target - 1} last"
            )
        return nodes[:-1]

    def _concatenated(self, wire: str) -> list[str]:
        *wires, axis = self.graph.inputs(self.graph.node(wire, "ConcatV2")) or [""]
        self._check_channel_axis(axis)
        if not wires:
            raise foreign(f"{wire!r} concatenates nothing")
        return wires

    def _check_channel_axis(self, axis: str) -> None:
        if self.graph.integer(axis) not in {3, -1}:
            raise foreign(f"{axis!r} is not the channel axis")

    def _layer(
        self, end: str, *, relu: bool = True, groups: int = 1, depthwise: bool = False
    ) -> _Layer:
        """Return the convolution whose output, after bias and ReLU, is the wire ``end``."""
        if relu:
            (end,) = self.graph.inputs(self.graph.node(end, "Relu"), 1)
        convolved, bias = self.graph.inputs(self.graph.node(end, "BiasAdd"), 2)
        if groups > 1:
            return self._grouped(convolved, bias, groups)
        source, kernel = self._conv(convolved, "DepthwiseConv2dNative" if depthwise else "Conv2D")
        return _Layer(kernel, bias, source)

    def _grouped(self, convolved: str, bias: str, groups: int) -> _Layer:
        """Return a grouped convolution.

        TensorFlow 1 has none: input and kernel are split, convolved in pairs, and concatenated.
        """
        pairs = [self._conv(part, "Conv2D") for part in self._concatenated(convolved)]
        split, kernel_split = pairs[0]
        others = [(f"{split}:{i}", f"{kernel_split}:{i}") for i in range(1, groups)]
        if pairs[1:] != others:
            raise foreign(f"{convolved!r} is not a convolution of {groups} groups")
        return _Layer(
            self._split_source(kernel_split, groups), bias, self._split_source(split, groups)
        )

    def _split_source(self, name: str, parts: int) -> str:
        node = self.graph.node(name, "Split")
        axis, source = self.graph.inputs(node, 2)
        self._check_channel_axis(axis)
        if attribute(node, "num_split").i != parts:
            raise foreign(f"{name!r} does not split into {parts}")
        return source

    def _conv(self, name: str, op: str) -> tuple[str, str]:
        """Return the wires of a convolution's input and kernel."""
        node = self.graph.node(name, op)
        source, kernel = self.graph.inputs(node, 2)
        steps = [*attribute(node, "strides").list.i, *attribute(node, "dilations").list.i]
        if (
            attribute(node, "padding").s != b"SAME"
            or attribute(node, "data_format").s not in {b"", b"NHWC"}
            or set(steps) != {1}
        ):
            raise foreign(f"{name!r} is not an NHWC convolution of stride 1 with padding SAME")
        return source, kernel

    def _expect_source(self, layer: _Layer, source: str) -> None:
        if layer.source != source:
            raise foreign(
                f"the layer of {layer.kernel!r} reads {layer.source!r}, expected {source!r}"
            )

    def _sum(self, first: str, second: str) -> str:
        name = self.sums.get(frozenset((first, second)))
        if name is None:
            raise foreign(f"nothing adds {first!r} and {second!r}")
        return name
