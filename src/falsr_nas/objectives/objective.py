"""The objectives that a search can have, and those that one search has chosen.

An objective is PSNR, which is known after a training, or a number that follows from the genome. A
new one of the latter kind is added with ``OBJECTIVES.register``: it can then be chosen by its name
with ``objectives=[psnr,NAME]``, and search, reports and tracking use it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from falsr_nas.core import plugins
from falsr_nas.core.errors import UserError
from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from falsr_nas.archive.candidate import Evaluation
    from falsr_nas.latency.profile import LatencyProfile

Number = TypeVar("Number", float, "NDArray[np.float64]")

Measure = Callable[[Genome, Cost], float]
"""A number of a network, from its genome and its cost. The same genome gives the same number."""


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
        maximised: whether more is better.
        logarithmic: whether distances are those of logarithms; all its numbers are then positive.
        factor: a number is divided by it where it is shown, e.g. 1e9 for G.
        digits: decimals in tables.
    """

    name: str
    heading: str
    label: str
    unit: str
    measure: Measure = _unknown
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

    def coordinate(self, genome: Genome, cost: Cost) -> float:
        """Return the minimised number by which distances are measured: a logarithm, or linear."""
        value = self.measure(genome, cost)
        return self.minimised(math.log(value) if self.logarithmic else value)


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


LATENCY = Objective("latency", "latency", "predicted latency", "ms", digits=1)
"""Latency on a device, in ms; :func:`objectives_of` adds the profile that predicts it."""


GROUP = "objective"
"""What objectives are registered as in :mod:`falsr_nas.core.plugins`."""


class ObjectiveRegistry:
    """The objectives that can be chosen, by name."""

    def __init__(self, objectives: Iterable[Objective]) -> None:
        self._known = {one.name: one for one in objectives}

    def register(self, objective: Objective) -> Objective:
        """Add an objective, and return it.

        Raises:
            UserError: the name is taken, or cannot be used.
        """
        name = objective.name
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            raise UserError(
                f"{name!r} cannot be the name of an objective: give lower case letters, digits and"
                " _, such as my_own"
            )
        if name in self._known:
            taken = plugins.owner(GROUP, name)
            by = "" if taken is None else f" by the plug-in {taken.name}"
            raise UserError(f"objective {name} is registered already{by}")
        self._known[name] = objective
        plugins.registered(GROUP, name, lambda: self._known.pop(name))
        return objective

    def __getitem__(self, name: str) -> Objective:
        """Return the objective of this name. Raises UserError where there is none."""
        try:
            return self._known[name]
        except KeyError:
            raise UserError(
                f"objectives: there is no {name!r}: choose of {', '.join(self._known)},"
                " or give the plug-in that has it (plugins=[...])"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)


OBJECTIVES = ObjectiveRegistry((PSNR, MULT_ADDS, PARAMS, LATENCY))
"""All objectives; a plug-in adds its own with ``OBJECTIVES.register``."""

DEFAULT_OBJECTIVES = ("psnr", "mult_adds", "params")
"""Names of the paper's objectives (II)."""

LIMITS = {"max_params": PARAMS, "max_latency_ms": LATENCY}
"""Upper limits of ``constraints``, beside that on mult-adds, in the unit of their objective."""

LEAST = {"min_mult_adds": MULT_ADDS}
"""Lower limits of ``constraints``, in the unit of their objective."""


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


@dataclass(frozen=True)
class Objectives:
    """The objectives of a search, and its limits on numbers that follow from the genome.

    Attributes:
        costs: the chosen objectives beside PSNR, which is always one. The first one orders fronts.
        limits: the largest number of other objectives, chosen or not: see :data:`LIMITS`.
        least: the smallest number of objectives: see :data:`LEAST`.
    """

    costs: tuple[Objective, ...] = (MULT_ADDS, PARAMS)
    limits: tuple[tuple[Objective, float], ...] = ()
    least: tuple[tuple[Objective, float], ...] = ()

    @property
    def chosen(self) -> tuple[Objective, ...]:
        """All objectives, PSNR first."""
        return (PSNR, *self.costs)

    @property
    def order(self) -> Objective:
        """What fronts are ordered by: the first cost, or mult-adds where PSNR is all."""
        return self.costs[0] if self.costs else MULT_ADDS

    def place(self, evaluation: Evaluation) -> float:
        """Return the number of :attr:`order`, minimised."""
        candidate = evaluation.candidate
        return self.order.minimised(self.order.measure(candidate.genome, candidate.cost))

    @property
    def shown(self) -> tuple[Objective, ...]:
        """What tables and figures show beside PSNR.

        These are the chosen ones, then those with a limit, mult-adds and parameters.
        """
        found = (*self.costs, *(one for one, _ in self.limits), MULT_ADDS, PARAMS)
        return tuple({one.name: one for one in found}.values())

    @property
    def added(self) -> tuple[Objective, ...]:
        """Those of :attr:`shown` that files of a search have only where they are used."""
        return tuple(one for one in self.shown if one not in (MULT_ADDS, PARAMS))

    def coordinate(self, evaluation: Evaluation) -> float:
        """Return the number of :attr:`order` by which distances are measured."""
        return self.order.coordinate(evaluation.candidate.genome, evaluation.candidate.cost)

    def row(self, evaluation: Evaluation) -> dict[str, float]:
        """Return the numbers of :attr:`added` by name."""
        genome, cost = evaluation.candidate.genome, evaluation.candidate.cost
        return {one.name: one.measure(genome, cost) for one in self.added}

    def affordable(self, genome: Genome, cost: Cost) -> bool:
        """Return whether a network meets the limits."""
        return all(one.measure(genome, cost) <= most for one, most in self.limits) and all(
            one.measure(genome, cost) >= least for one, least in self.least
        )

    def point(self, evaluation: Evaluation, psnr: float | None = None) -> tuple[float, ...]:
        """Return the minimised objectives of a scored evaluation, by which distances are measured.

        These are the negative PSNR and mostly logarithms of costs: they change only the crowding
        distance, not domination, so that 1 G and 2 G are as far apart as 100 G and 200 G (our
        choice).

        Args:
            evaluation: the candidate and its score.
            psnr: PSNR in dB to use instead of the score.
        """
        score, candidate = evaluation.score, evaluation.candidate
        assert score is not None, "only scored candidates compete"
        costs = (one.coordinate(candidate.genome, candidate.cost) for one in self.costs)
        return (-(score.psnr if psnr is None else psnr), *costs)

    def coordinates(
        self, psnr: NDArray[np.float64], genomes: Sequence[Genome], costs: Sequence[Cost]
    ) -> NDArray[np.float64]:
        """Return :meth:`point` of networks of these PSNR (N,) in dB: (N, objectives)."""
        import numpy as np

        networks = list(zip(genomes, costs, strict=True))
        values = np.array(
            [[one.measure(*network) for one in self.costs] for network in networks],
            dtype=np.float64,
        ).reshape(len(networks), len(self.costs))
        logarithmic = np.array([one.logarithmic for one in self.costs], dtype=bool)
        signs = np.array([one.minimised(1.0) for one in self.costs])
        logs = np.log(np.where(logarithmic, values, 1.0))
        return np.column_stack([-psnr, signs * np.where(logarithmic, logs, values)])


PAPER_OBJECTIVES = Objectives()
"""PSNR, mult-adds and parameters (paper, II); the default of searches."""


def objectives_of(settings: Mapping[str, Any], profile: LatencyProfile | None = None) -> Objectives:
    """Return the objectives of a search.

    Args:
        settings: of the search by dotted names: ``objectives``, ``constraints.max_...`` and
            ``constraints.min_...``. What is missing, as in searches of earlier versions, has its
            default.
        profile: predicts latency; None where the search has none.

    Raises:
        UserError: there is no such objective, or one needs a profile.
    """
    names = check_names(settings.get("objectives", DEFAULT_OBJECTIVES))
    limits = [
        (_with_profile(objective, profile), float(most) * objective.factor)
        for name, objective in LIMITS.items()
        if (most := settings.get(f"constraints.{name}")) is not None
    ]
    floors = [
        (objective, float(least) * objective.factor)
        for name, objective in LEAST.items()
        if (least := settings.get(f"constraints.{name}")) is not None
    ]
    costs = (_with_profile(OBJECTIVES[name], profile) for name in names[1:])
    return Objectives(tuple(costs), tuple(limits), tuple(floors))


def _with_profile(objective: Objective, profile: LatencyProfile | None) -> Objective:
    """Return an objective as it is, unless it is latency, which the profile predicts."""
    if objective is not LATENCY:
        return objective
    if profile is None:
        raise UserError(
            "latency is predicted from a profile of the device: give latency=device.json, which"
            " `python -m falsr_nas.profile output=device.json` writes"
        )
    size = f"{profile.width}\N{MULTIPLICATION SIGN}{profile.height}"
    label = f"latency predicted for {size} output"
    return replace(objective, label=label, measure=lambda genome, _: profile.latency(genome))
