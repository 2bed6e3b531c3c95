"""Measures the profile of this device: whole networks, in turns with a reference network."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from falsr_nas.core.errors import UserError
from falsr_nas.core.processor import processor_name
from falsr_nas.core.turns import alone
from falsr_nas.core.version import __version__
from falsr_nas.inference.memory import keep_freed_memory
from falsr_nas.inference.threads import processor_threads
from falsr_nas.latency.prediction import left_out
from falsr_nas.latency.profile import LatencyProfile, Timed
from falsr_nas.profiling.timing import (
    Measured,
    backend_version,
    load_network,
    time_against,
)
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.enumeration import draw_light
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

_DRAWS = 40  # of which one network is taken, so that light and heavy ones are measured alike

UNDISTURBED = 0.1
"""Quantile of the reference network's times that counts; our choice."""

DISTURBED, ATTEMPTS = 1.25, 3
"""A network is timed again where the reference network took that many times its time in the
profile, up to so many times; our choice."""

Progress = Callable[[str, int, int], None]
"""Called with a phase, and how much of it is done, of how much."""


@dataclass(frozen=True)
class Device:
    """What runs networks, and for which image.

    Attributes:
        backend: one of :data:`~falsr_nas.profiling.timing.BACKENDS`.
        width, height: of the upscaled image in pixels.
        threads: number of processor threads.
        cpu: name of the processor.
        versions: of the backend and of what else matters, by name.
    """

    backend: str
    width: int
    height: int
    threads: int
    cpu: str
    versions: dict[str, str]

    @classmethod
    def here(cls, backend: str, width: int, height: int, threads: int | None) -> Device:
        """Return this device. Raises UserError where the backend is not installed."""
        versions = {
            backend: backend_version(backend),
            "falsr_nas": __version__,
            "python": platform.python_version(),
        }
        count = threads or torch.get_num_threads()
        return cls(backend, width, height, count, processor_name(), versions)


class Stopwatch:
    """Times networks on this device, in turns with a reference network that stays loaded.

    Args:
        device: of this machine.
        reference: the reference network.
        reference_ms: its time here when nothing else runs; infinite where it is not known.
    """

    def __init__(self, device: Device, reference: Genome, reference_ms: float = math.inf) -> None:
        keep_freed_memory()
        self._device = device
        self._most_ms = DISTURBED * reference_ms
        with processor_threads(device.threads):
            self._reference = self._load(reference)

    def time(self, genome: Genome, seconds: float) -> Measured:
        """Time a network with random weights for about ``seconds``, or a few rounds.

        It waits until no other process of this user trains for a search or times networks. Of
        several attempts, the one counts that other programs disturbed least.
        """
        tried = list[Measured]()
        with processor_threads(self._device.threads):
            run = self._load(genome)
            while len(tried) < ATTEMPTS:
                with alone():
                    tried.append(time_against(self._reference, run, seconds))
                if tried[-1].reference_ms <= self._most_ms:
                    break
        return min(tried, key=lambda one: one.reference_ms)

    def _load(self, genome: Genome) -> Callable[[], object]:
        device = self._device
        return load_network(genome, device.backend, device.width, device.height)


def reference_network(scale: int) -> Genome:
    """Return the network in turns with which others are timed: four convolutions of 16 channels."""
    cells = " ".join(["conv_f16_k3_b1_noskip"] * 3)
    return Genome.parse(f"stem_f16 {cells} subpixel_x{scale} |")


def measure_device(
    networks: Sequence[Genome],
    device: Device,
    seconds: float,
    progress: Progress = lambda phase, done, total: None,
) -> LatencyProfile:
    """Measure the profile of this device.

    Args:
        networks: what is timed; their weights are random.
        device: this device.
        seconds: time for all; a few rounds are taken of each network in any case.
        progress: called after each network.
    """
    reference = reference_network(networks[0].scale)
    stopwatch = Stopwatch(device, reference)
    found = []
    for done, genome in enumerate(networks, start=1):
        found.append(stopwatch.time(genome, seconds / len(networks)))
        progress("timing networks", done, len(networks))
    # What another program took from the machine for a while only made it slower.
    unit = float(np.quantile([one.reference_ms for one in found], UNDISTURBED))
    return made_profile(networks, [unit * one.ratio for one in found], device, reference, unit)


def made_profile(
    networks: Sequence[Genome],
    milliseconds: Sequence[float],
    device: Device,
    reference: Genome,
    reference_ms: float,
) -> LatencyProfile:
    """Return the profile of a device on which networks take these milliseconds."""
    rounded = [round(ms, 4) for ms in milliseconds]
    predicted = left_out(networks, np.array(rounded)).round(4).tolist()
    timed = map(Timed, networks, rounded, predicted)
    return LatencyProfile(
        **vars(device),
        reference=reference,
        reference_ms=round(reference_ms, 4),
        networks=tuple(timed),
    )


def check_device(profile: LatencyProfile) -> Device:
    """Return this device, set up as in a profile.

    Raises:
        UserError: the profile is of another processor, or its backend is not installed.
    """
    ways = (
        "measure this device with `python -m falsr_nas.profile`, or search by predictions alone"
        " with measure_latency=false"
    )
    try:
        device = Device.here(profile.backend, profile.width, profile.height, profile.threads)
    except UserError as error:
        raise UserError(f"latency: {error}; or search with measure_latency=false") from None
    if device.cpu != profile.cpu:
        raise UserError(f"latency: the profile is of {profile.cpu}, this is {device.cpu}: {ways}")
    return device


def drawn_networks(
    space: SearchSpace, count: int, seed: int, most: float = math.inf
) -> list[Genome]:
    """Draw different networks, from the lightest to the heaviest, in random order.

    Of many draws those are taken whose mult-adds are evenly spaced on a log scale, since the fronts
    of searches have networks that uniform draws hardly ever are.

    Args:
        space: whose networks are drawn.
        count: how many; fewer where the space has fewer.
        seed: of the draws.
        most: mult-adds of the heaviest one.
    """
    rng = np.random.default_rng(seed)
    draws = (draw_light(space, rng).canonical() for _ in range(_DRAWS * count))
    costs = ((genome, genome_cost(genome).mult_adds) for genome in draws)
    drawn = {genome.key: (cost, genome) for genome, cost in costs if cost <= most}
    heavy = [drawn[key][1] for key in sorted(drawn, key=lambda key: (drawn[key][0], key))]
    logs = np.log([drawn[genome.key][0] for genome in heavy])
    chosen: list[int] = []
    for wanted in np.linspace(logs[0], logs[-1], count):
        free = [i for i in range(len(heavy)) if i not in chosen]
        if free:
            chosen.append(min(free, key=lambda i: abs(logs[i] - wanted)))
    return [heavy[chosen[i]] for i in rng.permutation(len(chosen))]
