from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from falsr_nas.report.architecture import architecture_svg, blank_drawing
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace

SVG = "{http://www.w3.org/2000/svg}"


def names(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text") if text.get("class") == "name"]


def links(svg: ElementTree.Element) -> dict[str, str]:
    """The curve of every link, by node and target."""
    return {
        group.attrib["data-link"]: group[0].attrib["d"]
        for group in svg.iter(f"{SVG}g")
        if "data-link" in group.attrib
    }


def loops(svg: ElementTree.Element) -> list[int]:
    groups = [group for group in svg.iter(f"{SVG}g") if "data-node" in group.attrib]
    return [
        int(group.attrib["data-node"])
        for group in groups
        if any(part.get("class") == "residual" for part in group)
    ]


def test_falsr_a_is_drawn_as_in_figure_3() -> None:
    svg = ElementTree.fromstring(architecture_svg(PUBLISHED["FALSR-A"]))
    assert names(svg) == [
        "feature extraction f32",
        "conv f64 k3 b4 isskip",
        "conv f48 k1 b1 isskip",
        "conv f64 k3 b4 isskip",
        "conv f64 k3 b4 isskip",
        "conv f64 k3 b4 isskip",
        "conv f64 k1 b4 noskip",
        "conv f64 k3 b4 isskip",
        "sub-pixel upsampling",
    ]
    assert set(links(svg)) == {
        "2-4",
        "0-5",
        "2-5",
        "0-7",
        "2-7",
        "5-7",
        "0-8",
        "1-8",
        "2-8",
        "3-8",
        "4-8",
        "5-8",
        "6-8",
    }
    assert loops(svg) == [1, 3, 4, 5, 7]  # the residual of block 2, with one repeat, does nothing


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_a_blank_drawing_has_all_links_where_any_network_has_them(n: int) -> None:
    space, rng = SearchSpace(n=n), np.random.default_rng(n)
    blank = ElementTree.fromstring(blank_drawing(n))
    assert len(links(blank)) == n * (n + 1) // 2
    assert loops(blank) == list(range(1, n + 1))
    for _ in range(5):
        genome = space.sample(rng)
        svg = ElementTree.fromstring(architecture_svg(genome))
        linked = [
            f"{node}-{target}"
            for target, nodes in enumerate(genome.links, start=2)
            for node in nodes
        ]
        assert links(svg) == {link: links(blank)[link] for link in linked}
        assert names(svg)[1:-1] == [cell.name.replace("_", " ") for cell in genome.cells]
        assert svg.attrib["viewBox"] == blank.attrib["viewBox"]


def test_other_ends_are_drawn() -> None:
    cells = "conv_f16_k3_b1_noskip conv_f16_k3_b1_noskip"
    for name, label, skips in (
        ("subpixel_x2", "sub-pixel convolution", 0),
        ("subpixel_x3", "sub-pixel convolution x3", 0),
        ("paper_x4", "sub-pixel upsampling x4", 1),
    ):
        text = architecture_svg(Genome.parse(f"stem_f16 {cells} {name}"))
        svg = ElementTree.fromstring(text)
        assert (names(svg)[0], names(svg)[-1]) == ("feature extraction f16", label)
        assert text.count('<g class="global-skip">') == skips


def test_everything_is_within_the_drawing() -> None:
    for n in (1, 7, 40):
        svg = ElementTree.fromstring(blank_drawing(n))
        _, _, width, height = map(float, svg.attrib["viewBox"].split())
        for curve in links(svg).values():
            x0, y0, x1, y1, x2, y2, x3, y3 = map(float, re.findall(r"-?[\d.]+", curve))
            for t in np.linspace(0, 1, 30):
                weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
                assert 0 <= weights @ [x0, x1, x2, x3] <= width
                assert 0 <= weights @ [y0, y1, y2, y3] <= height


def test_describe_draws() -> None:
    command = [sys.executable, "-m", "falsr_nas.describe", "genome=FALSR-B", "format=svg"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == architecture_svg(PUBLISHED["FALSR-B"]) + "\n"
