"""From settings to the controller they describe; its libraries are imported here, when it is wanted."""

from __future__ import annotations

import numpy as np

from falsr_nas.controller.controller import Controller
from falsr_nas.controller.settings import (
    AgingSettings,
    Constraints,
    ControllerSettings,
    HybridSettings,
    NSGA2Settings,
    OptunaSettings,
    PymooSettings,
    RandomSettings,
)
from falsr_nas.errors import UserError
from falsr_nas.space.search_space import SearchSpace


def build(
    settings: ControllerSettings,
    space: SearchSpace,
    constraints: Constraints,
    rng: np.random.Generator,
) -> Controller:
    """The controller of these settings.

    Raises:
        UserError: no network of the space meets the constraints, or a library of the ``compare`` extra is missing.
    """
    match settings:
        case HybridSettings():
            from falsr_nas.controller.hybrid import Hybrid

            return Hybrid(settings, space, constraints, rng)
        case NSGA2Settings():
            from falsr_nas.controller.nsga2 import NSGA2

            return NSGA2(settings, space, constraints, rng)
        case AgingSettings():
            from falsr_nas.controller.aging import AgingEvolution

            return AgingEvolution(settings, space, constraints, rng)
        case RandomSettings():
            from falsr_nas.controller.random_search import RandomSearch

            return RandomSearch(settings, space, constraints, rng)
        case PymooSettings() | OptunaSettings():
            return _compared(settings, space, constraints, rng)
    raise TypeError(f"no controller has {type(settings).__name__}")


def _compared(
    settings: PymooSettings | OptunaSettings,
    space: SearchSpace,
    constraints: Constraints,
    rng: np.random.Generator,
) -> Controller:
    name = "pymoo" if isinstance(settings, PymooSettings) else "optuna"
    try:
        if isinstance(settings, PymooSettings):
            from falsr_nas.controller.pymoo_nsga2 import PymooNSGA2

            return PymooNSGA2(settings, space, constraints, rng)
        from falsr_nas.controller.optuna_nsga2 import OptunaNSGA2

        return OptunaNSGA2(settings, space, constraints, rng)
    except ModuleNotFoundError as error:
        raise UserError(
            f"controller={name} needs a library that is not installed ({error.name}): pip install 'falsr-nas[compare]'"
        ) from None
