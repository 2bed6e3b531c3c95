"""The objectives that a search can have.

An objective is PSNR, which is known after a training, or a number that follows from the genome. A
new one of the latter kind is added with ``OBJECTIVES.register``: it can then be chosen by its name
with ``objectives=[psnr,NAME]``, and search, reports and tracking use it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.core.errors import UserError
from falsr_nas.core.registry import ByName
from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from falsr_nas.latency.profile import LatencyPredictor, LatencyProfile

Number = TypeVar("Number", float, "NDArray[np.float64]")

Measure = Callable[[Genome, Cost], float]
"""A number of a network, from its genome and its cost. The same genome gives the same number."""


class Network(Protocol):
    """A network with its cost: a draw, a candidate, or an evaluation."""

    @property
    def genome(self) -> Genome:
        """The network."""
        ...

    @property
    def cost(self) -> Cost:
        """Its parameters and mult-adds."""
        ...


def _unknown(genome: Genome, cost: Cost) -> float:
    raise ValueError("this objective does not follow from genome and cost alone")


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes:
        name: in settings, and of columns in files.
        heading: in tables and buttons, without the unit.
        label: of an axis, without the unit.
        unit: in which it is shown.
        measure: the number of a network; not for PSNR, which the score has.
        expect: the number that is expected of a network before its evaluation, where a search
            learns more than ``measure`` says; None for ``measure``.
        scored: the attribute of a score that has the number instead where it is not None.
        maximised: whether more is better.
        logarithmic: whether distances are those of logarithms; all its numbers are then positive.
        factor: a number is divided by it where it is shown, e.g. 1e9 for G.
        digits: decimals in tables.
    """

    name: str
    heading: str
    label: str
    unit: str
    measure: Measure = field(default=_unknown, repr=False)
    expect: Measure | None = field(default=None, repr=False, compare=False)
    scored: str | None = None
    maximised: bool = False
    logarithmic: bool = True
    factor: float = 1.0
    digits: int = 1

    @property
    def axis(self) -> str:
        """Label of an axis, with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, value: float) -> str:
        """Return a number as tables show it, without the unit."""
        return f"{value / self.factor:.{self.digits}f}"

    def minimised(self, value: Number) -> Number:
        """Return the number that is minimised, of a number or an array: negated if maximised."""
        return -value if self.maximised else value

    def of(self, network: Network) -> float:
        """Return the number of a network: that of its score, where it has one."""
        known = self._known(network)
        return self.measure(network.genome, network.cost) if known is None else known

    def expected(self, network: Network) -> float:
        """Return the number of a network as :meth:`of`, or what a search expects it to be."""
        known, measure = self._known(network), self.expect or self.measure
        return measure(network.genome, network.cost) if known is None else known

    def coordinate(self, network: Network) -> float:
        """Return the minimised number by which distances are measured: a logarithm, or linear."""
        value = self.of(network)
        return self.minimised(math.log(value) if self.logarithmic else value)

    def _known(self, network: Network) -> float | None:
        if self.scored is None or not isinstance(network, Evaluation) or network.score is None:
            return None
        value: float | None = getattr(network.score, self.scored)
        return value


PSNR = Objective("psnr", "PSNR", "PSNR", "dB", maximised=True, logarithmic=False, digits=2)
"""PSNR on the validation images. Fronts compare the MSE, which orders networks alike."""

MULT_ADDS = Objective(
    "mult_adds",
    "mult-adds",
    "mult-adds at 1280\N{MULTIPLICATION SIGN}720 output",
    "G",
    lambda _, cost: cost.mult_adds,
    factor=1e9,
)

PARAMS = Objective("params", "params", "parameters", "K", lambda _, cost: cost.params, factor=1e3)


LATENCY = Objective("latency", "latency", "latency", "ms", scored="latency", digits=1)
"""Latency on a device, in ms, measured or predicted; :func:`latency_on` adds the profile."""


GROUP = "objective"
"""What objectives are registered as in :mod:`falsr_nas.core.plugins`."""


class ObjectiveRegistry(ByName[Objective]):
    """The objectives that can be chosen, by name."""

    def __init__(self, objectives: Iterable[Objective]) -> None:
        super().__init__(GROUP, {objective.name: objective for objective in objectives})

    def register(self, objective: Objective) -> Objective:
        """Add an objective, and return it.

        Raises:
            UserError: the name is taken, or cannot be used.
        """
        self.add(objective.name, objective)
        return objective

    def _missing(self, name: str) -> UserError:
        return UserError(
            f"objectives: there is no {name!r}: choose of {', '.join(self)},"
            " or give the plug-in that has it (plugins=[...])"
        )


OBJECTIVES = ObjectiveRegistry((PSNR, MULT_ADDS, PARAMS, LATENCY))
"""All objectives; a plug-in adds its own with ``OBJECTIVES.register``."""

DEFAULT_OBJECTIVES = ("psnr", "mult_adds", "params")
"""Names of the paper's objectives (II)."""


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of objectives, psnr first.

    Raises:
        UserError: psnr is missing, a name is unknown or occurs twice.
    """
    for name in names:
        _ = OBJECTIVES[name]
    if PSNR.name not in names:
        raise UserError(
            f"objectives is [{','.join(names)}]: psnr must be one of them,"
            " e.g. objectives=[psnr,latency]"
        )
    if len(set(names)) < len(names):
        raise UserError(f"objectives is [{','.join(names)}]: each can be given once")
    return (PSNR.name, *(name for name in names if name != PSNR.name))


def latency_on(
    profile: LatencyProfile | None, predictor: LatencyPredictor | None = None
) -> Objective:
    """Return :data:`LATENCY` on the device of a profile; the predictor is what a search learns by.

    Raises:
        UserError: there is no profile.
    """
    if profile is None:
        raise UserError(
            "latency is predicted from a profile of the device: give latency=device.json, which"
            " `python -m falsr_nas.profile output=device.json` writes"
        )
    size = f"{profile.width}\N{MULTIPLICATION SIGN}{profile.height}"
    return replace(
        LATENCY,
        label=f"latency at {size} output",
        measure=lambda genome, _: profile.latency(genome),
        expect=None if predictor is None else lambda genome, _: predictor.latency(genome),
    )
