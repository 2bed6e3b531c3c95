"""Profiles of devices that were made up, for tests of all that uses one."""

from __future__ import annotations

from falsr_nas.latency.layers import GROUPS, Layer, layers_of_space
from falsr_nas.latency.profile import FEATURES, SPACE, LatencyProfile, PredictionError
from falsr_nas.space.search_space import SearchSpace


def made_profile(space: SearchSpace, speed: float = 1.0, seed: int = 0) -> LatencyProfile:
    """Return a profile of a device on which time is traffic and products, at another rate each."""
    table = {
        family: {channels: _ms(Layer(family, channels)) / speed for channels in row}
        for family, row in layers_of_space(space).items()
    }
    coefficients = {name: 0.9 if name in GROUPS else 0.05 for name in FEATURES}
    choices = {name: getattr(space, name) for name in SPACE}
    return LatencyProfile(
        "torch",
        {"torch": "2.13.0", "falsr_nas": str(seed)},
        "a processor",
        2,
        1280,
        720,
        {name: list(one) if isinstance(one, tuple) else one for name, one in choices.items()},
        table,
        coefficients,
        PredictionError((10.0, 20.0), (10.5, 19.0), 0.05, 1.0),
    )


def _ms(layer: Layer) -> float:
    family = layer.family
    products = family.outputs * layer.channels * family.kernel**2 / family.groups
    slow = 3.0 if family.groups > 1 else 1.0  # grouped convolutions run at a lower rate
    return 0.01 + 1e-3 * layer.traffic + 1e-4 * slow * products * family.density
