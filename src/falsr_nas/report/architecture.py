"""Drawings of networks in the style of the paper's figures 3 and 4.

Blocks form a vertical chain, each labelled with its operator; links are arcs on their right.

All geometry is computed here. The page of a search shows any of thousands of networks, and a
finished drawing of each would make it too large. It contains one :func:`blank_drawing` with every
possible link instead; its script fills in the labels and removes the links that a network lacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from falsr_nas.space.cell import Cell
from falsr_nas.space.ends import PAPER_ENDS, Ends
from falsr_nas.space.genome import Genome
from falsr_nas.space.operators import OPERATORS

_BOX, _HEIGHT, _PITCH = 264, 32, 54
_LEFT, _TOP = 58, 10
_REACH = (40, 150)
"""Distance from the blocks to the control points of the shortest and of the longest arc."""

SHAPES = """
.architecture text {
  font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink);
}
.architecture .number { font-size: 10.5px; fill: var(--quiet); text-anchor: end; }
.architecture rect { fill: var(--box); stroke: var(--quiet); stroke-width: 1; }
.architecture path { fill: none; stroke: var(--quiet); stroke-width: 1.3; }
.architecture .head { fill: var(--quiet); stroke: none; }
.architecture .link path { stroke: var(--ink); }
.architecture .link .head { fill: var(--ink); stroke: none; }
.architecture .global { stroke-dasharray: 4 3; }
.architecture .block rect { stroke: var(--operator, var(--quiet)); }
.architecture .block .mark { fill: var(--operator, var(--quiet)); stroke: none; }
""".strip()
"""Fonts and lines of a drawing, without its colours."""


def operator_colors(names: Iterable[str]) -> str:
    """Return the style of a page's drawings: a variable ``--operator-NAME`` for each operator.

    The group of a block has the class ``operator-NAME``.
    """
    colors = {name: OPERATORS.colors(name) for name in names}
    variables = "".join(
        f" --operator-{name}: light-dark({light}, {dark});"
        for name, (light, dark) in colors.items()
    )
    rules = [f".operator-{name} {{ --operator: var(--operator-{name}); }}" for name in colors]
    return "\n".join([f":root {{{variables} }}", *rules])


def _standalone_style(names: Iterable[str]) -> str:
    """Return the colours of a drawing by itself, light or dark by the reader's preference."""
    colors = {name: OPERATORS.colors(name) for name in names}
    light, dark = (
        "\n".join(
            f".operator-{name} {{ --operator: {pair[mode]}; }}" for name, pair in colors.items()
        )
        for mode in (0, 1)
    )
    return (
        ".architecture { --ink: #22262b; --quiet: #6b7280; --box: #f6f7f9; }\n"
        f"{light}\n"
        "@media (prefers-color-scheme: dark) {\n"
        ".architecture { --ink: #e8eaed; --quiet: #9aa1ab; --box: #24282e; }\n"
        f"{dark}\n}}"
    )


def architecture_svg(genome: Genome) -> str:
    """Draw a network as an SVG document that is readable on light and dark backgrounds."""
    links = {(node, target) for target, nodes in enumerate(genome.links, start=2) for node in nodes}
    style = _standalone_style(sorted({cell.operator.kind for cell in genome.cells}))
    return _svg(
        genome.n,
        genome.cells,
        links,
        genome.canonical().ends,
        head=f"<title>{escape(str(genome))}</title><style>\n{style}\n{SHAPES}\n</style>",
    )


def blank_drawing(n: int) -> str:
    """Draw a template of ``n`` cells as SVG, without names and with all possible links.

    Block i is the group ``[data-node="i"]`` with a text ``.name`` and a loop ``.residual``. The
    link from node i to target j is the group ``[data-link="i-j"]``. The page adds the class of a
    block's operator to its group, and sets the colours. Blocks 0 and n+1 have the names
    of the paper's ends. The global skip is the group ``.global-skip``.
    """
    return _svg(
        n,
        None,
        {(node, target) for target in range(2, n + 2) for node in range(target - 1)},
        PAPER_ENDS,
    )


def stem_label(ends: Ends) -> str:
    """Return the name of the stem's block."""
    unshuffle = f", unshuffle {ends.unshuffle}" if ends.unshuffle > 1 else ""
    return f"feature extraction f{ends.stem}{unshuffle}"


def _svg(
    n: int,
    cells: tuple[Cell, ...] | None,
    links: set[tuple[int, int]],
    ends: Ends,
    *,
    head: str = "",
) -> str:
    width, height = _LEFT + _BOX + round(0.75 * _REACH[1]) + 12, _y(n + 1) + _HEIGHT + _TOP
    inner = [_block(node, "", str(node), loop=_loop(node)) for node in range(1, n + 1)]
    if cells is not None:
        inner = [
            _block(
                node,
                cell.name.replace("_", " "),
                str(node),
                f"operator-{cell.operator.kind}",
                _loop(node) if cell.has_residual else "",
            )
            for node, cell in enumerate(cells, start=1)
        ]
    blocks = _block(0, stem_label(ends), "0") + "".join(inner) + _block(n + 1, ends.label, "")
    skip = _global_skip(n) if ends.upsampler != "subpixel" else ""
    chain = "".join(_arrow_down(node) for node in range(n + 1))
    arcs = "".join(_link(node, target, n) for node, target in sorted(links))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="architecture" role="img"'
        f' viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"{head}{skip}{arcs}{chain}{blocks}</svg>"
    )


def _y(node: int) -> int:
    """Return the y coordinate of a block's upper edge."""
    return _TOP + _PITCH * node


def _block(node: int, name: str, number: str, kind: str = "", loop: str = "") -> str:
    middle = _y(node) + _HEIGHT / 2
    return (
        f'<g class="{f"block {kind}".strip()}" data-node="{node}">{loop}'
        f'<rect x="{_LEFT}" y="{_y(node)}" width="{_BOX}" height="{_HEIGHT}" rx="5"/>'
        f'<rect class="mark" x="{_LEFT}" y="{_y(node)}" width="5" height="{_HEIGHT}" rx="2.5"/>'
        f'<text class="name" x="{_LEFT + 14}" y="{middle + 4.2:g}">{escape(name)}</text>'
        f'<text class="number" x="{_LEFT + _BOX - 7}" y="{middle + 3.6:g}">{number}</text></g>'
    )


def _loop(node: int) -> str:
    """Draw the residual connection within a cell as a loop on the left of its block."""
    low, high, x = _y(node) + _HEIGHT - 8, _y(node) + 8, _LEFT - 20
    return f'<path class="residual" d="M{_LEFT} {high}C{x} {high} {x} {low} {_LEFT} {low}"/>'


def _arrow_down(node: int) -> str:
    x, start, end = _LEFT + _BOX // 2, _y(node) + _HEIGHT, _y(node + 1)
    return f'<path d="M{x} {start}V{end - 5}"/><path class="head" d="M{x - 4} {end - 7}h8l-4 7z"/>'


def _link(node: int, target: int, n: int) -> str:
    """Draw a link as an arc on the right; longer links have wider arcs."""
    x, start, end = _LEFT + _BOX, _y(node) + 0.72 * _HEIGHT, _y(target) + 0.28 * _HEIGHT
    reach = x + _REACH[0] + (_REACH[1] - _REACH[0]) * (target - node - 2) / max(n - 1, 1)
    return (
        f'<g class="link" data-link="{node}-{target}">'
        f'<path d="M{x} {start:.1f}'
        f'C{reach:.1f} {start:.1f} {reach:.1f} {end:.1f} {x + 6} {end:.1f}"/>'
        f'<path class="head" d="M{x + 8} {end - 4:.1f}v8l-8-4z"/></g>'
    )


def _global_skip(n: int) -> str:
    """Draw the global skip connection as a dashed line on the left.

    It leads from the stem's output to the upsampler, where it is added before the sub-pixel
    shuffle.
    """
    x, start, end = _LEFT, _y(0) + _HEIGHT / 2, _y(n + 1) + _HEIGHT / 2
    return (
        '<g class="global-skip">'
        f'<path class="global" d="M{x} {start:g}H24Q14 {start:g} 14 {start + 10:g}'
        f'V{end - 10:g}Q14 {end:g} 24 {end:g}H{x - 7}"/>'
        f'<path class="head" d="M{x - 8} {end - 4:g}v8l8-4z"/>'
        f'<text class="number" x="{x - 14}" y="{end - 6:g}">+</text></g>'
    )
