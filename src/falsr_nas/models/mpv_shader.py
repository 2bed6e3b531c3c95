"""Shaders for mpv and libplacebo, which upscale the luma plane of what is played.

Each layer is a pass that saves one texture. It holds the channels of the layer in tiles, four in
each, in a grid; so links between layers cost nothing, and a pass binds as many textures as nodes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn.functional import pad, pixel_shuffle, relu

from falsr_nas.core.files import write_atomically
from falsr_nas.models.layout import ExportError
from falsr_nas.models.model import Model
from falsr_nas.models.model_file import model_metadata
from falsr_nas.networks.network import BilinearResidual, Network, cropped, without_residual

MOST_CHANNELS = 128
"""Channels of a layer: a grid of 6x6 tiles, with which a texture of 1080p is 11520 pixels wide."""

MOST_WEIGHTS = 60_000
"""Weights of a network, which drivers compile as constants; our choice."""

ENLARGED = 1.2
"""The shader runs where the picture is shown larger than this; our choice."""


@dataclass(frozen=True, slots=True)
class _Texture:
    """A layer's output. ``size`` is that of a tile as mpv writes it, with ``{}`` for w or h."""

    name: str
    channels: int
    size: str = "LUMA.{}"
    padded: int = 0  # zeros at the left and top, which the next convolution reads

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows of tiles."""
        tiles = -(-self.channels // 4)
        columns = math.isqrt(tiles - 1) + 1
        return columns, -(-tiles // columns)

    @property
    def tile(self) -> str:
        """The size of a tile in pixels, in GLSL."""
        return f"(ivec2({self.name}_size) / ivec2{self.grid})"


@dataclass(frozen=True, eq=False, slots=True)
class _Layer:
    """A convolution that has no pass yet, because ReLU, a sum or a shuffle may follow."""

    name: str
    parts: tuple[_Texture, ...]
    weight: NDArray[np.float32]  # (out, in, k, k), zeros between groups
    bias: NDArray[np.float32]
    stride: int = 1
    padded: int = 0
    rectified: bool = False
    added: tuple[_Texture, ...] = ()
    shuffled: int = 0


_Value = _Texture | _Layer | tuple[_Texture, ...]


def write_shader(model: Model, path: Path) -> None:
    """Write a model as a shader; see :func:`to_shader`.

    Raises:
        UserError: a shader cannot compute the network, or the file cannot be written.
    """
    metadata = model_metadata(model.network, model.provenance)
    about = "".join(f"// {name}: {json.dumps(value)}\n" for name, value in metadata.items())
    write_atomically(path, (about + to_shader(model)).encode())


def to_shader(model: Model) -> str:
    """Return a model's network on luma as the text of a shader, with weights in full precision.

    Raises:
        ExportError: the network is not that of a genome, is too large, or has operators other
            than convolutions, ReLU, sums, links and a shuffle at the end.
    """
    plain = without_residual(model.network)
    if not isinstance(plain, Network):
        raise ExportError(f"{model.name}: shaders are for networks of genomes, which work on luma")
    if plain.merge is not None:
        raise ExportError(
            f"{model.name}: a shader has no upsampler of the paper: use subpixel or skipsubpixel"
        )
    weights = sum(weights.numel() for weights in plain.parameters())
    if weights > MOST_WEIGHTS:
        raise ExportError(f"{model.name}: {weights} weights, a shader has at most {MOST_WEIGHTS}")
    try:
        writer = _Writer(fx.symbolic_trace(plain.eval()), " ".join(model.name.split()))
    except (fx.proxy.TraceError, TypeError):
        raise ExportError(f"{model.name}: its operators depend on the size of the image") from None
    with torch.no_grad():
        output = writer.run(writer.luma)
    writer.write_output(output, plain.scale, isinstance(model.network, BilinearResidual))
    return "".join(writer.passes)


class _Writer(fx.Interpreter):
    """Runs a traced network on textures instead of tensors, and writes a pass for each layer."""

    def __init__(self, traced: fx.GraphModule, name: str) -> None:
        super().__init__(traced)
        self.extra_traceback = False
        self.name = name
        self.passes: list[str] = []
        self.made: dict[_Layer, _Texture] = {}
        # A copy of the luma plane has no offset, and is exactly as large as LUMA says.
        self.luma = _Texture("FALSR_0", 1)
        self._pass("luma", self.luma, ["return LUMA_tex(LUMA_pos);"])

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Value:
        layer, parts = self.fetch_attr(target), self._parts(args[0])
        if type(layer) is not nn.Conv2d or isinstance(layer.padding, str):
            raise self._lacking(type(layer).__name__)
        (kernel, *_), (stride, *_), (padded, *_) = layer.kernel_size, layer.stride, layer.padding
        padded += parts[0].padded
        found = layer.kernel_size, layer.stride, layer.dilation, len({*layer.padding})
        known = (kernel, kernel), (stride, stride), (1, 1), 1
        if found != known or padded != (kernel - stride) // 2 or layer.padding_mode != "zeros":
            raise self._lacking(repr(layer))
        weight = np.zeros((layer.out_channels, layer.in_channels, *layer.kernel_size), np.float32)
        for group, values in enumerate(layer.weight.chunk(layer.groups)):
            outputs, inputs = values.shape[:2]
            weight[group * outputs :, group * inputs :][:outputs, :inputs] = values
        bias = np.zeros(len(weight), np.float32) if layer.bias is None else layer.bias.numpy()
        return _Layer(target, parts, weight, bias, stride, padded)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Value:
        value = args[0]
        if target is relu and isinstance(value, _Layer) and not value.added:
            return replace(value, rectified=True)
        if target is pixel_shuffle and isinstance(value, _Layer):
            return replace(value, shuffled=args[1])
        if target is add and not any(isinstance(term, int | float) for term in args):
            return self._sum(*args)
        if target is torch.cat and [*args[1:], *kwargs.values()] == [1]:
            return tuple(part for one in value for part in self._parts(one))
        zeros = [*args[2:], *kwargs.values()] in ([], ["constant", None])
        if target is pad and isinstance(value, _Texture) and zeros:
            return replace(value, padded=args[1][0])
        if target is cropped:  # the last pass reads no more than what is left
            return value  # type: ignore[no-any-return]
        raise self._lacking(getattr(target, "__name__", str(target)))

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Value:
        raise self._lacking(str(target))

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Value:
        raise self._lacking(f"that reads {target}")

    def write_output(self, output: _Value, scale: int, residual: bool) -> None:
        """Write the last pass, which shuffles, adds bilinear interpolation and makes LUMA."""
        assert isinstance(output, _Layer)  # of every upsampler but the paper's
        source, factor = self._convolve(output), output.shuffled
        body = [
            f"ivec2 p = ivec2(FALSR_0_pos * FALSR_0_size * {scale}.0);",
            f"int c = p.y % {factor} * {factor} + p.x % {factor};",
            f"float value = {source.name}_at(c / 4, p / {factor})[c % 4];",
        ]
        if residual:
            corner = "FALSR_0_tex((low + vec2({}, {})) / FALSR_0_size).x"
            rows = (f"mix({corner.format(0, y)}, {corner.format(1, y)}, part.x)" for y in (0, 1))
            body += [
                f"vec2 at = (vec2(p) + 0.5) / {scale}.0;",
                "vec2 low = floor(at - 0.5) + 0.5, part = at - low;",
                f"value += mix({', '.join(rows)}, part.y);",
            ]
        body.append("return vec4(value, 0.0, 0.0, 1.0);")
        self._pass("output", _Texture("", 1, f"LUMA.{{}} {scale} *"), body, self.luma, source)

    def _sum(self, *terms: _Value) -> _Layer:
        # Added in the pass of a convolution that has none yet, if there is one.
        first, last = terms
        if isinstance(first, _Layer) and first not in self.made:
            first, last = last, first
        if first is last or not isinstance(last, _Layer) or last in self.made or last.shuffled:
            last = _identity(self._parts(last))
        return replace(last, added=(*last.added, self._texture(first)))

    def _parts(self, value: _Value) -> tuple[_Texture, ...]:
        return value if isinstance(value, tuple) else (self._texture(value),)

    def _texture(self, value: _Value) -> _Texture:
        """Return a value as one texture, for which a pass is written unless there is one."""
        if isinstance(value, tuple):
            value = _identity(value)
        if isinstance(value, _Texture):
            return value
        if value.shuffled:
            raise self._lacking("pixel_shuffle but at the end")
        if value not in self.made:
            self.made[value] = self._convolve(value)
        return self.made[value]

    def _convolve(self, layer: _Layer) -> _Texture:
        source, stride = layer.parts[0], layer.stride
        size = source.size
        if stride > 1:  # rounded up
            size = f"{size} {size} {stride} % + {stride} /"
        output = _Texture(f"FALSR_{len(self.passes)}", len(layer.bias), size)
        if output.channels > MOST_CHANNELS:
            raise ExportError(
                f"{self.name}: {layer.name} has {output.channels} channels: a shader has at most"
                f" {MOST_CHANNELS} in a layer"
            )
        body = [
            f"ivec2 size = ({source.tile} + {stride - 1}) / {stride};",
            f"ivec2 q = ivec2({source.name}_pos * vec2(size * ivec2{output.grid})), p = q % size;",
            f"int tile = q.y / size.y * {output.grid[0]} + q.x / size.x;",
            "vec4 r = vec4(0.0);",
        ]
        for tile, lines in enumerate(_tiles(layer)):
            body += [f"if (tile == {tile}) {{", *(f"    {line}" for line in lines), "}"]
        body += ["r = max(r, 0.0);"] * layer.rectified
        body += [f"r += {texture.name}_at(tile, p);" for texture in layer.added]
        self._pass(layer.name, output, [*body, "return r;"], *layer.parts, *layer.added)
        return output

    def _pass(self, layer: str, output: _Texture, body: list[str], *bound: _Texture) -> None:
        larger = " ".join(f"OUTPUT.{side} LUMA.{side} {ENLARGED} * >" for side in "wh")
        width, height = (
            f"{output.size.replace('{}', side)} {tiles} *"
            for side, tiles in zip("wh", output.grid, strict=True)
        )
        header = [
            "HOOK LUMA",
            f"DESC {self.name}: {layer}",
            *(f"BIND {name}" for name in dict.fromkeys(one.name for one in bound) or ["LUMA"]),
            *([f"SAVE {output.name}"] if output.name else []),
            f"WIDTH {width}",
            f"HEIGHT {height}",
            f"COMPONENTS {min(output.channels, 4)}",
            f"WHEN {larger} *",
        ]
        about = "".join(f"//!{line}\n" for line in header)
        readers = "".join(dict.fromkeys(map(_reader, bound)))
        lines = "".join(f"    {line}\n" for line in body)
        self.passes.append(f"\n{about}{readers}vec4 hook() {{\n{lines}}}\n")

    def _lacking(self, operator: str) -> ExportError:
        return ExportError(f"{self.name}: a shader has no operator {operator}")


def _identity(parts: tuple[_Texture, ...]) -> _Layer:
    channels = sum(part.channels for part in parts)
    weight = np.eye(channels, dtype=np.float32)[..., None, None]
    return _Layer("sum", parts, weight, np.zeros(channels, np.float32))


def _reader(texture: _Texture) -> str:
    """A function that reads pixel p of a tile, and zeros outside, as the padding of networks."""
    name, columns = texture.name, texture.grid[0]
    return (
        f"vec4 {name}_at(int tile, ivec2 p) {{\n"
        f"    ivec2 size = {texture.tile};\n"
        f"    ivec2 q = p + ivec2(tile % {columns}, tile / {columns}) * size;\n"
        "    bool inside = all(greaterThanEqual(p, ivec2(0))) && all(lessThan(p, size));\n"
        f"    return inside ? texelFetch({name}_raw, q, 0) : vec4(0.0);\n"
        "}\n"
    )


def _tiles(layer: _Layer) -> Iterator[list[str]]:
    """Yield the lines that compute each tile of a convolution in ``r``."""
    last = -len(layer.bias) % 4
    ends = np.cumsum([part.channels for part in layer.parts])
    blocks = [  # (tile of the output, 4, tile of the part, 4, k, k)
        np.pad(part, ((0, last), (0, -part.shape[1] % 4), (0, 0), (0, 0))).reshape(
            (len(part) + last) // 4, 4, -1, 4, *part.shape[2:]
        )
        for part in np.split(layer.weight, ends[:-1], axis=1)
    ]
    for tile, bias in enumerate(np.pad(layer.bias, (0, last)).reshape(-1, 4)):
        lines = [f"r = vec4({_numbers(bias)});"]
        for part, block in zip(layer.parts, blocks, strict=True):
            for read, y, x in np.ndindex(block.shape[2], *block.shape[4:]):
                to = f"{layer.stride} * p + ivec2({x - layer.padded}, {y - layer.padded})"
                lines += _product(block[tile, :, read, :, y, x], f"{part.name}_at({read}, {to})")
        yield lines


def _product(matrix: NDArray[np.float32], value: str) -> list[str]:
    """The line that adds a 4x4 matrix times four channels to ``r``; none where it is zero."""
    if not matrix.any():
        return []
    if not matrix[:, 1:].any():
        return [f"r += vec4({_numbers(matrix[:, 0])}) * {value}.x;"]
    if np.array_equal(matrix, np.diag(matrix.diagonal())):
        return [f"r += vec4({_numbers(matrix.diagonal())}) * {value};"]
    return [f"r += mat4({_numbers(matrix.T.ravel())}) * {value};"]  # columns first


def _numbers(values: NDArray[np.float32]) -> str:
    return ", ".join(map(str, values))  # the shortest texts with these float32
