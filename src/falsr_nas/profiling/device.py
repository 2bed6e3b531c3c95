"""Measures the profile of this device: layers, whole networks, and the model that combines them.

The time of a network is not the sum of its layers' times: runtimes join layers, change the layout
of memory between them, and small layers find their input in the cache. The coefficients of a
:class:`~falsr_nas.latency.profile.LatencyProfile` are therefore fitted to whole networks, measured
in the same minutes. The error of the profile is measured on other networks.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.functional import channel_shuffle, pixel_shuffle

from falsr_nas.core.version import __version__
from falsr_nas.latency.layers import GROUPS, Family, Layer, layers_of_space
from falsr_nas.latency.profile import (
    FEATURES,
    SPACE,
    LatencyProfile,
    PredictionError,
    features,
    input_size,
)
from falsr_nas.networks.cells import conv, conv_relu
from falsr_nas.networks.network import Network
from falsr_nas.profiling.timing import BACKENDS, Timed, backend_version, time_in_turns
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.enumeration import draw_light
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

FloatArray = NDArray[np.float64]

ROUNDS = 7
"""Most rounds of samples; our choice, like all numbers here."""

PRIOR = 0.02
"""Weight of the prior of the fit: coefficients of 1 for layers, of 0 for the rest."""

LAYERS_SHARE = 0.4
"""Share of the time for layers; the rest is for networks."""

_DRAWS = 40  # of which one network is taken, so that light and heavy ones are measured alike

Progress = Callable[[str, int, int], None]
"""Called with a phase, and how much of it is done, of how much."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        backend: one of :data:`BACKENDS`.
        width, height: of the upscaled image in pixels.
        threads: number of processor threads, for the file; the caller sets them.
        seconds: time for all samples, without the conversion of models. One round of samples is
            taken in any case.
        fitted: networks to which the coefficients are fitted.
        held_out: other networks, by which the error is measured.
        seed: of the networks.
    """

    backend: str
    width: int
    height: int
    threads: int
    seconds: float
    fitted: int
    held_out: int
    seed: int


def measure_device(
    space: SearchSpace, plan: Plan, progress: Progress = lambda phase, done, total: None
) -> LatencyProfile:
    """Measure the profile of this device for a space.

    Raises:
        UserError: the backend is not installed.
    """
    version = backend_version(plan.backend)
    table = _measured_table(space, plan, progress)
    networks = drawn_networks(space, plan.fitted + plan.held_out, plan.seed)
    measured = network_latencies(
        networks,
        plan.backend,
        width=plan.width,
        height=plan.height,
        seconds=(1 - LAYERS_SHARE) * plan.seconds,
        progress=progress,
    )
    rows = np.array(
        [[*features(genome, table, plan.width, plan.height).values()] for genome in networks]
    )
    coefficients = fitted_coefficients(rows[: plan.fitted], measured[: plan.fitted])
    return LatencyProfile(
        plan.backend,
        {plan.backend: version, "falsr_nas": __version__, "python": platform.python_version()},
        processor_name(),
        plan.threads,
        plan.width,
        plan.height,
        {name: list(v) if isinstance(v := getattr(space, name), tuple) else v for name in SPACE},
        table,
        dict(zip(FEATURES, coefficients.tolist(), strict=True)),
        prediction_error(measured[plan.fitted :], (rows @ coefficients)[plan.fitted :]),
    )


def fitted_coefficients(rows: FloatArray, milliseconds: FloatArray) -> FloatArray:
    """Fit coefficients (F,) >= 0, so that relative errors are least in square.

    Args:
        rows: features (N, F) of networks, in the order of FEATURES.
        milliseconds: their measured latencies (N,).
    """
    relative = rows / milliseconds[:, None]
    expected = np.array([1.0 if name in GROUPS else 0.0 for name in FEATURES])
    # A ridge that has the same effect on each feature's share of a network's time.
    shares = np.maximum(relative.mean(axis=0), 1e-9)
    ridge = np.diag(np.sqrt(PRIOR * len(rows)) * shares)
    system = np.vstack([relative, ridge])
    target = np.concatenate([np.ones(len(rows)), ridge @ expected])
    coefficients, _ = nnls(system, target)
    return np.asarray(coefficients, dtype=np.float64)


def prediction_error(measured: FloatArray, predicted: FloatArray) -> PredictionError:
    """Return how well latencies (N,) in ms are predicted."""
    relative = np.abs(predicted / measured - 1)
    correlation = spearmanr(measured, predicted).statistic if len(measured) > 1 else 1.0
    return PredictionError(
        tuple(measured.round(4).tolist()),
        tuple(predicted.round(4).tolist()),
        float(np.median(relative).round(6)),
        float(np.nan_to_num(correlation).round(6)),
    )


def drawn_networks(space: SearchSpace, count: int, seed: int) -> list[Genome]:
    """Draw different networks, from the lightest to the heaviest, in random order.

    Of many draws those are taken whose mult-adds are evenly spaced on a log scale, since the fronts
    of searches have networks that uniform draws hardly ever are.
    """
    rng = np.random.default_rng(seed)
    draws = (draw_light(space, rng).canonical() for _ in range(_DRAWS * count))
    drawn = {genome.key: (genome_cost(genome).mult_adds, genome) for genome in draws}
    heavy = [drawn[key][1] for key in sorted(drawn, key=lambda key: (drawn[key][0], key))]
    logs = np.log([drawn[genome.key][0] for genome in heavy])
    chosen: list[int] = []
    for wanted in np.linspace(logs[0], logs[-1], count):
        free = [i for i in range(len(heavy)) if i not in chosen]
        if free:
            chosen.append(min(free, key=lambda i: abs(logs[i] - wanted)))
    return [heavy[chosen[i]] for i in rng.permutation(len(chosen))]


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class LayerModule(nn.Module):
    """One layer by itself: (1, channels, H, W), as many channels as the layer reads.

    A concatenation reads one tensor of half the channels twice, an addition one tensor twice.

    Attributes:
        inputs: channels of the input.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        family = layer.family
        self.kind, self.factor = family.kind, family.kernel
        self.inputs = layer.channels // 2 if family.kind == "concat" else layer.channels
        # Where channels beside the sub-pixels are left, they are in TensorFlow's order at first.
        self.permuted = family.density == 1 and layer.channels > family.kernel**2
        if family.kind == "conv":
            self.layer = conv(layer.channels, family.outputs, family.kernel, family.groups)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer."""
        if self.kind == "conv":
            return conv_relu(self.layer, x)
        if self.kind == "concat":
            return torch.cat([x, x], dim=1)
        if self.kind == "add":
            return x + x
        if self.permuted:
            x = channel_shuffle(x, self.factor**2)
        return pixel_shuffle(x, self.factor)


def _measured_table(
    space: SearchSpace, plan: Plan, progress: Progress
) -> dict[Family, dict[int, float]]:
    layers = [
        Layer(family, channels)
        for family, row in layers_of_space(space).items()
        for channels in row
    ]
    height, width = (input_size(side, space.scale) for side in (plan.height, plan.width))
    convert = BACKENDS[plan.backend]
    timed: dict[Layer, Timed] = {}
    for done, layer in enumerate(layers, start=1):
        side = isqrt(layer.family.density)
        module = LayerModule(layer).eval()
        shape = (1, module.inputs, side * height, side * width)
        timed[layer] = Timed(convert(module, module.inputs), shape)
        progress("converting layers", done, len(layers))
    _take_turns([*timed.values()], LAYERS_SHARE * plan.seconds, "timing layers", progress)
    table: dict[Family, dict[int, float]] = {}
    for layer, times in timed.items():
        table.setdefault(layer.family, {})[layer.channels] = round(times.milliseconds, 5)
    return table


def network_latencies(
    networks: Sequence[Genome],
    backend: str,
    *,
    width: int,
    height: int,
    seconds: float,
    progress: Progress = lambda phase, done, total: None,
) -> FloatArray:
    """Measure the latencies (N,) of networks in ms; their weights are random.

    The other arguments are those of a :class:`Plan`.
    """
    timed = []
    for done, genome in enumerate(networks, start=1):
        shape = (1, 1, input_size(height, genome.scale), input_size(width, genome.scale))
        timed.append(Timed(BACKENDS[backend](Network(genome).eval(), 1), shape))
        progress("converting networks", done, len(networks))
    _take_turns(timed, seconds, "timing networks", progress)
    return np.array([times.milliseconds for times in timed])


def _take_turns(timed: Sequence[Timed], seconds: float, phase: str, progress: Progress) -> None:
    def advance(turn: int, done: int) -> None:
        progress(f"{phase}, round {turn}", done, len(timed))

    time_in_turns(timed, seconds, ROUNDS, advance)
