"""Runs the text of a shader in NumPy: what each pass says, in 64-bit floats."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LINE = re.compile(
    r"r \+= (vec4|mat4)\((.*)\) \* (\w+)_at\((\d+), (\d+) \* p"
    r" \+ ivec2\((-?\d+), (-?\d+)\)\)(\.x)?;"
)


def passes(shader: str) -> list[str]:
    """The passes, of which each begins with ``LUMA`` after ``//!HOOK``."""
    return re.split(r"^//!HOOK ", shader, flags=re.MULTILINE)[1:]


def headers(text: str, name: str) -> list[str]:
    return re.findall(rf"^//!{name} (.*)$", text, re.MULTILINE)


def evaluate(expression: str, sizes: dict[str, int]) -> float:
    """The value of an expression in reverse Polish notation."""
    stack: list[float] = []
    for word in expression.split():
        if word in "+-*/%>":
            right, left = stack.pop(), stack.pop()
            stack.append(eval(f"{left} {word} {right}"))
        else:
            stack.append(sizes[word] if word in sizes else float(word))
    (value,) = stack
    return value


def run(shader: str, luma: Array, scale: int) -> Array:
    """The luma plane (H, W) that the passes of a shader make of one."""
    height, width = luma.shape
    sizes = {"LUMA.w": width, "LUMA.h": height}
    sizes |= {"OUTPUT.w": scale * width, "OUTPUT.h": scale * height}
    saved: dict[str, tuple[Array, list[int]]] = {}  # tiles (n, 4, h, w)
    for text in passes(shader):
        assert all(evaluate(condition, sizes) for condition in headers(text, "WHEN"))
        shape = [int(evaluate(headers(text, side)[0], sizes)) for side in ("HEIGHT", "WIDTH")]
        bound = [name for name in headers(text, "BIND") if name != "LUMA"]
        functions = set(re.findall(r"(\w+)_(?:at|tex|pos|size|raw)\b", text)) - {"LUMA"}
        assert functions <= set(bound), "a texture is read that is not bound"
        if "LUMA_tex(LUMA_pos)" in text:
            tiles = np.zeros((1, 4, *shape))
            tiles[0, 0] = luma
        elif "float value" in text:
            return _output(text, saved, shape, scale)
        else:
            grid = re.search(r"vec2\(size \* ivec2\((\d+), (\d+)\)\)", text)
            assert grid is not None
            columns, rows = map(int, grid.groups())
            size = [shape[0] // rows, shape[1] // columns]
            assert shape == [size[0] * rows, size[1] * columns]
            tiles = _convolved(text, saved, size, columns * rows)
        saved[headers(text, "SAVE")[0]] = tiles, shape
    raise AssertionError("no pass writes the luma plane")


def _convolved(text: str, saved: Any, size: list[int], count: int) -> Array:
    blocks = re.findall(r"if \(tile == (\d+)\) \{\n(.*?)\n    \}", text, re.DOTALL)
    tiles = np.zeros((count, 4, *size))
    y, x = np.mgrid[: size[0], : size[1]]
    for tile, block in blocks:
        bias, *lines = block.strip().splitlines()
        numbers = re.fullmatch(r"\s*r = vec4\((.*)\);", bias)
        assert numbers is not None
        r = np.array(numbers[1].split(","), float)[:, None, None] + np.zeros((4, *size))
        for line in lines:
            found = _LINE.fullmatch(line.strip())
            assert found is not None, line
            kind, values, name, read, stride, dx, dy, one = found.groups()
            weights = np.array(values.split(","), float)
            seen = _at(
                saved[name][0][int(read)], int(stride) * y + int(dy), int(stride) * x + int(dx)
            )
            if kind == "mat4":
                r += np.einsum("io,ihw->ohw", weights.reshape(4, 4), seen)
            else:
                r += weights[:, None, None] * (seen[:1] if one else seen)
        tiles[int(tile)] = r
    if "r = max(r, 0.0);" in text:
        tiles = tiles.clip(0)
    for name in re.findall(r"r \+= (\w+)_at\(tile, p\);", text):
        tiles += saved[name][0][:count]
    return tiles


def _at(tile: Array, y: Array, x: Array) -> Array:
    """The pixels of a tile (4, h, w), zeros outside."""
    _, height, width = tile.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return np.where(inside, tile[:, y.clip(0, height - 1), x.clip(0, width - 1)], 0.0)


def _output(text: str, saved: Any, shape: list[int], scale: int) -> Array:
    y, x = np.mgrid[: shape[0], : shape[1]]
    found = re.search(r"int c = (.*);\n.*= (\w+)_at\(c / 4, p / (\d+)\)\[c % 4\];", text)
    assert found is not None
    index, name, factor = found.groups()
    c = eval(index, {"p": SimpleNamespace(x=x, y=y)})
    tiles = saved[name][0]
    flat = tiles.reshape(-1, *tiles.shape[2:])
    value: Array = flat[c, y // int(factor), x // int(factor)]
    if "value += mix" not in text:
        return value
    luma = saved["FALSR_0"][0][0, 0]
    at = [(side + 0.5) / scale - 0.5 for side in (y, x)]
    low = [np.floor(side).astype(int) for side in at]
    part = [side - floor for side, floor in zip(at, low, strict=True)]

    def pixel(dy: int, dx: int) -> Array:
        return luma[  # type: ignore[no-any-return]
            (low[0] + dy).clip(0, luma.shape[0] - 1), (low[1] + dx).clip(0, luma.shape[1] - 1)
        ]

    rows = [(1 - part[1]) * pixel(dy, 0) + part[1] * pixel(dy, 1) for dy in (0, 1)]
    return value + (1 - part[0]) * rows[0] + part[0] * rows[1]  # type: ignore[no-any-return]
