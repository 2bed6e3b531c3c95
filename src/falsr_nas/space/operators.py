"""The operators that genomes may have: the paper's, and those that plug-ins register."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from falsr_nas.core.errors import UserError
from falsr_nas.core.registry import ByName
from falsr_nas.space.errors import GenomeError
from falsr_nas.space.operator_kind import OperatorKind
from falsr_nas.space.paper_operators import PAPER_OPERATORS

AnyKind = OperatorKind[Any]

GROUP = "operator"
"""What operators are registered as in :mod:`falsr_nas.core.plugins`."""

PALETTE = (
    ("#a8457f", "#e18cbb"),
    ("#7a6a00", "#e0cf3c"),
    ("#4b4b9b", "#a3a3f5"),
    ("#00737a", "#4fc4cc"),
    ("#8a3b12", "#d99a72"),
)
"""Colours of operators that name none, on a light and on a dark background."""

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_LABEL = re.compile(r"[A-Za-z]{0,8}")


class Operators(ByName[AnyKind]):
    """Operators by name, in the order in which they were registered."""

    _name = re.compile(r"[a-z][A-Za-z]{0,31}")
    _advice = "at most 32 letters, the first one lower case, such as bsconv"

    def __init__(self, kinds: Iterable[AnyKind] = ()) -> None:
        super().__init__(GROUP, {kind.name: kind for kind in kinds})

    def register(self, kind: AnyKind) -> AnyKind:
        """Add an operator, and return it.

        Raises:
            UserError: its name is taken, or its name, letter, label or colours cannot be used.
        """
        _check(kind)
        self.add(kind.name, kind)
        return kind

    def colors(self, name: str) -> tuple[str, str]:
        """Return the colours of an operator on a light and on a dark background."""
        if (colors := self[name].colors) is not None:
            return colors
        without = sorted(kind.name for kind in self.values() if kind.colors is None)
        return PALETTE[without.index(name) % len(PALETTE)]

    def unknown(self, name: str) -> str:
        """Return the message for a name that is no operator's."""
        forms = ", ".join(kind.form for kind in self.values())
        return f"unknown operator {name!r}: expected {forms}, or one of a plug-in (plugins=[...])"

    def _missing(self, name: str) -> GenomeError:
        return GenomeError(self.unknown(name))


def _check(kind: AnyKind) -> None:
    name = kind.name
    if not re.fullmatch(r"[A-Z]?", kind.letter):
        raise UserError(f"operator {name}: its letter is {kind.letter!r}: give one upper case one")
    if not 1 <= kind.factors[0] <= kind.factors[1] <= 9999:
        raise UserError(f"operator {name}: its factors are {kind.factors}: give a range in 1..9999")
    if not _LABEL.fullmatch(kind.label):
        raise UserError(f"operator {name}: its label is {kind.label!r}: give at most 8 letters")
    if kind.colors is not None and not (
        len(kind.colors) == 2 and all(map(_COLOR.fullmatch, kind.colors))
    ):
        raise UserError(f"operator {name}: its colors are {kind.colors}: give two such as #0072b2")


EMPTY = "empty"
"""The operator of a cell that is left out: a choice of a space, of which genomes have no cells."""

_EMPTY: AnyKind = OperatorKind(
    EMPTY,
    convs=lambda cell, inputs: (),
    module="torch.nn:Identity",
    colors=("#8a8f98", "#8a8f98"),  # of no drawing; the palette is for operators of plug-ins
)
OPERATORS = Operators((*PAPER_OPERATORS, _EMPTY))
"""The operators that genomes may have, and :data:`EMPTY`."""
