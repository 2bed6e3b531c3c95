"""Profiles of devices that were made up, for tests of all that uses one."""

from __future__ import annotations

import numpy as np

from falsr_nas.latency.layers import layers
from falsr_nas.latency.prediction import left_out
from falsr_nas.latency.profile import LatencyProfile, Timed
from falsr_nas.profiling.device import drawn_networks, reference_network
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace


def made_profile(
    space: SearchSpace, speed: float = 1.0, seed: int = 0, count: int = 30
) -> LatencyProfile:
    """Return a profile of a device on which time is traffic and products, at another rate each."""
    networks = drawn_networks(space, count, 0)
    milliseconds = [round(made_latency(genome) / speed, 4) for genome in networks]
    predicted = left_out(networks, np.array(milliseconds)).round(4).tolist()
    reference = reference_network(space.scale)
    return LatencyProfile(
        "torch",
        {"torch": "2.13.0", "falsr_nas": str(seed)},
        "a processor",
        2,
        1280,
        720,
        reference,
        made_latency(reference) / speed,
        tuple(map(Timed, networks, milliseconds, predicted)),
    )


def made_latency(genome: Genome) -> float:
    """Return the milliseconds of a network on this device."""
    total = 0.0
    for layer in layers(genome):
        slow = 3.0 if layer.groups > 1 else 1.0  # grouped convolutions run at a lower rate
        total += 0.25 + 2e-2 * layer.traffic() + 5e-4 * slow * layer.mult_adds(16)
    return total
