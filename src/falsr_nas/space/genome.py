"""Genomes: one network of the family as a plain, hashable value (paper, III and IV-A).

Nodes are numbered as in the paper's figures: node 0 is the output of the stem, node i the output of
cell block i. Targets read nodes: target i (1..n) is cell block i, target n+1 is the upsampler.
Target i always reads node i-1. A *link* is any other node that it reads. The *ends* of a network
are its stem and its upsampler.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from falsr_nas.space.cell import Cell
from falsr_nas.space.ends import PAPER_ENDS, STEM, UPSAMPLER, Ends
from falsr_nas.space.errors import GenomeError

MOST_CELLS = 64
"""Upper bound for cells in genomes from untrusted input."""

_LINK = re.compile(r"(\d{1,3}(?:,\d{1,3})*)->(\d{1,3})")


@dataclass(frozen=True)
class Genome:
    """A network: n cells and the links between them (paper, IV-A), between a stem and an upsampler.

    Attributes:
        cells: the cell blocks 1..n, at most 64.
        links: for each target 2..n+1 the nodes that it reads in addition to node target-1, in
            ascending order, each in 0..target-2.
        ends: the stem and the upsampler.

    Raises:
        GenomeError: the cells and links do not make a valid network.
    """

    cells: tuple[Cell, ...]
    links: tuple[tuple[int, ...], ...]
    ends: Ends = PAPER_ENDS

    def __post_init__(self) -> None:
        if not 1 <= len(self.cells) <= MOST_CELLS:
            raise GenomeError(f"a genome has 1 to {MOST_CELLS} cells, not {len(self.cells)}")
        if len(self.links) != len(self.cells):
            raise GenomeError(
                f"{len(self.cells)} cells need link lists for the targets 2..{len(self.cells) + 1},"
                f" found {len(self.links)}"
            )
        for target, nodes in enumerate(self.links, start=2):
            if nodes:
                _check_link(target, nodes)
        widths = [self.stem, *[cell.channels for cell in self.cells]]
        for target, cell in enumerate(self.cells, start=1):
            if cell.operator.groups == 1:
                continue
            channels = widths[target - 1] + (
                sum([widths[node] for node in self.links[target - 2]]) if target > 1 else 0
            )
            if channels % cell.operator.groups:
                raise GenomeError(
                    f"cell {target} ({cell.name}):"
                    f" its groups do not divide its {channels} input channels"
                )

    @property
    def n(self) -> int:
        """Number of cell blocks."""
        return len(self.cells)

    @property
    def stem(self) -> int:
        """Number of channels of node 0."""
        return self.ends.stem

    @property
    def scale(self) -> int:
        """Upscaling factor."""
        return self.ends.scale

    def inputs(self, target: int) -> tuple[int, ...]:
        """Return the nodes that a target 1..n+1 reads, in the order of concatenation."""
        return (0,) if target == 1 else (*self.links[target - 2], target - 1)

    def node_channels(self, node: int) -> int:
        """Return the number of channels of a node 0..n."""
        return self.stem if node == 0 else self.cells[node - 1].channels

    def in_channels(self, target: int) -> int:
        """Return the number of channels that a target 1..n+1 reads."""
        return sum(self.node_channels(node) for node in self.inputs(target))

    @property
    def has_global_skip(self) -> bool:
        """Whether node 0 is added at the end."""
        return self.ends.skips(self.in_channels(self.n + 1))

    def has_body_of(self, other: Genome) -> bool:
        """Whether stem and cells are those of another genome; the upsamplers may differ."""
        ours, theirs = (
            (one.ends.stem_name, one.cells, one.links[:-1])
            for one in (self.canonical(), other.canonical())
        )
        return ours == theirs

    def canonical(self) -> Genome:
        """Return the canonical form: genomes of the same network have the same one."""
        cells = tuple(cell.canonical() for cell in self.cells)
        ends = self.ends.canonical(self.in_channels(self.n + 1))
        same = cells == self.cells and ends == self.ends
        return self if same else replace(self, cells=cells, ends=ends)

    @cached_property
    def key(self) -> str:
        """Identifier of the network: 16 hexadecimal digits, equal for genomes of one network."""
        return hashlib.sha256(str(self.canonical()).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        """Return the expression that makes the genome from its text form."""
        return f"Genome.parse({str(self)!r})"

    def __str__(self) -> str:
        """Return the text form: names of the blocks, then links.

        The last block is the upsampler; the paper's, ``paper_x2``, is left out. Examples:
        ``stem_f32 conv_f16_k3_b1_noskip | 0->2``, ``stem_f8 conv_f8_k3_b2_isskip subpixel_x2 |``.
        ``stem_f32_u2`` is a stem with an unshuffle by 2.
        """
        names = [self.ends.stem_name, *(cell.name for cell in self.cells)]
        if self.ends.name != PAPER_ENDS.name:
            names.append(self.ends.name)
        blocks = " ".join(names)
        links = " ".join(
            f"{','.join(map(str, nodes))}->{target}"
            for target, nodes in enumerate(self.links, start=2)
            if nodes
        )
        return f"{blocks} | {links}".strip()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: ``{"stem": 32, "cells": [names], "links": {"4": [2], ...}}``.

        An upsampler other than the paper's is added as ``"upsampler": "subpixel_x2"``, an unshuffle
        as ``"unshuffle": 2``.
        """
        links = {
            str(target): list(nodes) for target, nodes in enumerate(self.links, start=2) if nodes
        }
        data = {"stem": self.stem, "cells": [cell.name for cell in self.cells], "links": links}
        if self.ends.name != PAPER_ENDS.name:
            data["upsampler"] = self.ends.name
        if self.ends.unshuffle > 1:
            data["unshuffle"] = self.ends.unshuffle
        return data

    @classmethod
    def from_json(cls, data: object) -> Genome:
        """Build a genome from the form of :meth:`to_json`.

        Raises:
            GenomeError: ``data``, which may be any value, does not have this form.
        """
        if not isinstance(data, Mapping) or not isinstance(names := data.get("cells"), list):
            raise GenomeError('a genome in JSON is an object with a list "cells"')
        known = ("stem", "cells", "links", "upsampler", "unshuffle")
        if unknown := sorted(str(name) for name in set(data) - set(known)):
            raise GenomeError(f"a genome in JSON has no {unknown[0]!r}: only {', '.join(known)}")
        if not all(isinstance(name, str) for name in names):
            raise GenomeError('"cells" must be a list of names such as conv_f64_k3_b4_isskip')
        stem, unshuffle = data.get("stem", STEM), data.get("unshuffle", 1)
        for name, value in (("stem", stem), ("unshuffle", unshuffle)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise GenomeError(f'"{name}" must be a whole number, not {value!r}')
        upsampler = data.get("upsampler", PAPER_ENDS.name)
        if not isinstance(upsampler, str):
            raise GenomeError(f'"upsampler" must be a name such as subpixel_x2, not {upsampler!r}')
        links = data.get("links", {})
        if not isinstance(links, Mapping):
            raise GenomeError('"links" must be an object such as {"4": [2]}')
        return cls._assemble(
            names,
            [_json_link(target, nodes) for target, nodes in links.items()],
            Ends.parse(stem, upsampler, unshuffle),
        )

    @classmethod
    def parse(cls, text: str) -> Genome:
        """Parse the text form or JSON text of a genome.

        Raises:
            GenomeError: the text is neither.
        """
        text = text.strip()
        if text.startswith("{"):
            try:
                data = json.loads(text)
            except (ValueError, RecursionError) as error:  # deep nesting is a RecursionError
                raise GenomeError(f"not JSON: {error}") from None
            return cls.from_json(data)
        blocks, _, links = text.partition("|")
        names = blocks.split()
        stem, unshuffle, upsampler = STEM, 1, PAPER_ENDS.name
        if names and (match := re.fullmatch(r"stem_f(\d{1,6})(?:_u([2-9]))?", names[0])):
            stem, unshuffle, names = int(match[1]), int(match[2] or 1), names[1:]
        if names and UPSAMPLER.fullmatch(names[-1]):
            upsampler = names.pop()
        ends = Ends.parse(stem, upsampler, unshuffle)
        return cls._assemble(names, [_text_link(link) for link in links.split()], ends)

    @classmethod
    def recall(cls, text: str, key: str) -> Genome:
        """Parse the text form of a genome whose key is known, so that it is not hashed again."""
        genome = cls.parse(text)
        genome.__dict__["key"] = key
        return genome

    @classmethod
    def _assemble(
        cls, names: list[str], links: list[tuple[int, tuple[int, ...]]], ends: Ends
    ) -> Genome:
        if len(names) > MOST_CELLS:
            raise GenomeError(f"a genome has 1 to {MOST_CELLS} cells, not {len(names)}")
        cells = tuple([Cell.parse(name) for name in names])
        table: list[tuple[int, ...]] = [()] * len(cells)
        for target, nodes in links:
            if not 2 <= target <= len(cells) + 1:
                raise GenomeError(
                    f"links to target {target}: targets with links are 2..{len(cells) + 1}"
                )
            if table[target - 2]:
                raise GenomeError(f"links to target {target} are given twice")
            table[target - 2] = nodes
        return cls(cells, tuple(table), ends)


@lru_cache(maxsize=4096)
def _check_link(target: int, nodes: tuple[int, ...]) -> None:
    if list(nodes) != sorted(set(nodes)) or nodes[0] < 0 or nodes[-1] > target - 2:
        raise GenomeError(
            f"target {target}: links {list(nodes)} must be ascending nodes in 0..{target - 2}"
        )


@lru_cache(maxsize=4096)
def _text_link(text: str) -> tuple[int, tuple[int, ...]]:
    match = _LINK.fullmatch(text)
    if match is None:
        raise GenomeError(f"{text!r} is not a link: expected nodes and a target, such as 0,2->5")
    return int(match[2]), tuple(int(node) for node in match[1].split(","))


def _json_link(target: object, nodes: object) -> tuple[int, tuple[int, ...]]:
    if not isinstance(target, str) or not re.fullmatch(r"\d{1,3}", target):
        raise GenomeError(f'"links": {target!r} is not a target')
    if not isinstance(nodes, list) or not all(
        isinstance(node, int) and not isinstance(node, bool) for node in nodes
    ):
        raise GenomeError(f'"links": target {target} needs a list of nodes')
    return int(target), tuple(nodes)
