"""The latency of networks on a device, predicted from the device's profile.

``python -m falsr_nas.profile`` measures a profile and writes it as JSON: the milliseconds of single
layers, and coefficients by which those of a network add up to its latency. A prediction depends on
nothing but genome and file, so it is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsr_nas.core.errors import UserError
from falsr_nas.latency.layers import GROUPS, Family, Layer, layers, layers_of_space
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import CHOICES, SearchSpace

FORMAT = 1
"""Version of the files."""

FEATURES = (*GROUPS, "layers", "traffic", "network")
"""What a prediction is a weighted sum of.

These are the milliseconds of the table by group of layers, the number of layers, the MB that they
read and write, and 1 for the network itself."""

SPACE = ("n", "scale", *CHOICES)
"""Settings of a space that a profile keeps."""

LEAST = 0.1
"""Lower bound of predictions, as a share of the least latency that was measured; our choice.

A fit to noisy measurements may predict 0 for a small network."""

Table = Mapping[Family, Mapping[int, float]]
"""Milliseconds of layers by family and input channels."""

_MOST_KNOWN = 1 << 17  # networks whose latency is kept


@dataclass(frozen=True, slots=True)
class PredictionError:
    """How well a profile predicts networks that it was not fitted to.

    Attributes:
        measured: their latency in ms.
        predicted: what the profile predicts.
        median: median of the relative errors.
        spearman: rank correlation.
    """

    measured: tuple[float, ...]
    predicted: tuple[float, ...]
    median: float
    spearman: float


@dataclass(frozen=True)
class LatencyProfile:
    """A device's profile.

    Attributes:
        backend: what runs the networks, e.g. ``onnxruntime``.
        versions: of the backend and of what else matters, by name.
        cpu: name of the processor.
        threads: number of processor threads.
        width: of the upscaled image in pixels.
        height: of the upscaled image in pixels.
        space: choices of the space whose layers were measured.
        table: milliseconds of layers.
        coefficients: weight of each of FEATURES, not negative, so that a network never gets faster
            by one more layer.
        error: on networks to which the coefficients were not fitted.
    """

    backend: str
    versions: Mapping[str, str]
    cpu: str
    threads: int
    width: int
    height: int
    space: Mapping[str, Any]
    table: Table = field(repr=False)
    coefficients: Mapping[str, float]
    error: PredictionError
    _known: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def latency(self, genome: Genome) -> float:
        """Return the predicted latency of a network in ms, > 0, for one image.

        Raises:
            UserError: it has another scale, or a layer of a family that was not measured.
        """
        if (known := self._known.get(genome.key)) is not None:
            return known
        if genome.scale != self.scale:
            raise UserError(f"latency: the profile is of networks for x{self.scale}: {genome}")
        values = features(genome, self.table, self.width, self.height)
        fitted = sum(self.coefficients[name] * values[name] for name in FEATURES)
        latency = max(fitted, LEAST * min(self.error.measured))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[genome.key] = latency
        return latency

    @property
    def scale(self) -> int:
        """Upscaling factor of the networks."""
        return int(self.space["scale"])

    def check_space(self, space: SearchSpace) -> None:
        """Raise UserError unless all layers of a space can be predicted."""
        if space.scale != self.scale:
            raise UserError(
                f"latency: the profile is of networks for x{self.scale}, space.scale is"
                f" {space.scale}: profile the device with this space"
            )
        if missing := [family for family in layers_of_space(space) if family not in self.table]:
            raise UserError(
                f"latency: the profile has no layer `{missing[0].name}` of this space: profile the"
                " device with the same space"
            )

    def to_json(self) -> str:
        """Return the content of the profile's file."""
        error = self.error
        content = {
            "format": FORMAT,
            "backend": self.backend,
            "versions": dict(self.versions),
            "cpu": self.cpu,
            "threads": self.threads,
            "width": self.width,
            "height": self.height,
            "space": dict(self.space),
            "error": {
                "median": error.median,
                "spearman": error.spearman,
                "measured_ms": list(error.measured),
                "predicted_ms": list(error.predicted),
            },
            "coefficients": dict(self.coefficients),
            "layers_ms": {
                family.name: {str(channels): ms for channels, ms in row.items()}
                for family, row in self.table.items()
            },
        }
        return json.dumps(content, indent=1) + "\n"

    @property
    def digest(self) -> str:
        """What identifies the profile: 16 hexadecimal digits of a hash of its content."""
        content = json.dumps(json.loads(self.to_json()), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_profile(path: Path) -> LatencyProfile:
    """Read the file of a profile.

    Raises:
        UserError: it cannot be read, or is no profile of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"latency: cannot read {path}: {reason}") from None
    return parse_profile(text, str(path))


def parse_profile(text: str, name: str) -> LatencyProfile:
    """Return the profile of a text by :meth:`LatencyProfile.to_json`; ``name`` is for messages.

    Raises:
        UserError: it is no profile of this version.
    """
    again = "measure it again with `python -m falsr_nas.profile`"
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or "format" not in content:
            raise ValueError("it has no format")
        if content["format"] != FORMAT:
            raise UserError(
                f"{name}: a profile of format {content['format']}, this version reads {FORMAT}:"
                f" {again}"
            )
        return _profile(content)
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{name}: not a whole profile, {error} is missing: {again}") from None
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{name}: not a profile of a device ({first}): {again}") from None


def features(genome: Genome, table: Table, width: int, height: int) -> dict[str, float]:
    """Return the features of a network by name, in the order of FEATURES.

    Width and height are those of the upscaled image in pixels.

    Raises:
        UserError: a family is not in the table.
    """
    values = dict.fromkeys(FEATURES, 0.0)
    values["network"] = 1.0
    megabytes = 4e-6 * input_size(width, genome.scale) * input_size(height, genome.scale)
    for layer in layers(genome):
        values[layer.group] += milliseconds(layer, table)
        values["layers"] += 1
        values["traffic"] += megabytes * layer.traffic
    return values


def milliseconds(layer: Layer, table: Table) -> float:
    """Return the milliseconds of one layer.

    Between two measured numbers of input channels it is interpolated linearly; outside, it is in
    proportion to the channels.

    Raises:
        UserError: its family is not in the table.
    """
    if (row := table.get(layer.family)) is None:
        raise UserError(
            f"latency: the profile has no layer `{layer.family.name}`: profile the device with the"
            " same space"
        )
    if (known := row.get(layer.channels)) is not None:
        return known
    channels = sorted(row)
    place = bisect_right(channels, layer.channels)
    if place in (0, len(channels)):
        nearest = channels[min(place, len(channels) - 1)]
        return row[nearest] * layer.channels / nearest
    below, above = channels[place - 1], channels[place]
    share = (layer.channels - below) / (above - below)
    return row[below] + share * (row[above] - row[below])


def input_size(output: int, scale: int) -> int:
    """Return the low-resolution pixels of a side of ``output`` pixels, rounded up."""
    return -(-output // scale)


def _profile(content: Mapping[str, Any]) -> LatencyProfile:
    error = content["error"]
    coefficients = {name: _number(content["coefficients"][name], 0) for name in FEATURES}
    space = {name: content["space"][name] for name in SPACE}
    SearchSpace(**space)  # checks them
    return LatencyProfile(
        str(content["backend"]),
        {str(name): str(version) for name, version in content["versions"].items()},
        str(content["cpu"]),
        _count(content["threads"]),
        _count(content["width"]),
        _count(content["height"]),
        space,
        {
            Family.parse(name): {_count(int(channels)): _time(ms) for channels, ms in row.items()}
            for name, row in content["layers_ms"].items()
        },
        coefficients,
        PredictionError(
            tuple(_time(ms) for ms in error["measured_ms"]),
            tuple(_time(ms) for ms in error["predicted_ms"]),
            _number(error["median"], 0),
            _number(error["spearman"], -1),
        ),
    )


def _time(value: Any) -> float:
    if not (ms := _number(value, 0)):
        raise ValueError("a layer or a network takes 0 ms")
    return ms


def _number(value: Any, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{value} is out of range")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is not a positive whole number")
    return value
