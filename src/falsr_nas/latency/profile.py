"""The latency of networks on a device, predicted from the device's profile.

``python -m falsr_nas.profile`` measures a profile and writes it as JSON: networks of a search space
and the milliseconds that they take. The prediction is fitted to them, and during a search to the
candidates that were measured, too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falsr_nas.core.errors import UserError
from falsr_nas.space.errors import GenomeError
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

if TYPE_CHECKING:
    from falsr_nas.latency.prediction import Fit

FORMAT = 2
"""Version of the files."""

EXTRAS = {
    "onnxruntime": "export",
    "onnxruntime-int8": "export",
    "torch": "export",
    "torch-bf16": "export",
    "ncnn": "ncnn",
    "openvino": "openvino",
    "openvino-bf16": "openvino",
}
"""What can run networks, and the extra of this project that installs it."""

FEWEST = 4
"""Networks that a profile needs."""

_MOST_KNOWN = 1 << 17  # networks whose latency is kept


@dataclass(frozen=True, slots=True)
class Timed:
    """A network of a profile.

    Attributes:
        genome: the network.
        milliseconds: its measured latency.
        predicted: the latency that is predicted by the other networks of the profile, in ms.
    """

    genome: Genome
    milliseconds: float
    predicted: float


@dataclass(frozen=True)
class LatencyProfile:
    """A device's profile.

    Attributes:
        backend: what runs the networks: one of EXTRAS.
        versions: of the backend and of what else matters, by name.
        cpu: name of the processor.
        threads: number of processor threads.
        width: of the upscaled image in pixels.
        height: of the upscaled image in pixels.
        reference: the network in turns with which others are timed.
        reference_ms: its latency.
        networks: those that were measured, at least FEWEST.
    """

    backend: str
    versions: Mapping[str, str]
    cpu: str
    threads: int
    width: int
    height: int
    reference: Genome
    reference_ms: float
    networks: tuple[Timed, ...] = field(repr=False)

    @property
    def scale(self) -> int:
        """Upscaling factor of the networks."""
        return self.reference.scale

    @cached_property
    def error(self) -> tuple[float, float]:
        """Median of the relative errors of the predictions, and their rank correlation."""
        from falsr_nas.latency.prediction import prediction_error

        pairs = ((one.milliseconds, one.predicted) for one in self.networks)
        return prediction_error(*zip(*pairs, strict=True))

    @cached_property
    def _predictor(self) -> LatencyPredictor:
        return LatencyPredictor(self)

    def latency(self, genome: Genome) -> float:
        """Return the predicted latency of a network in ms, > 0, for one image.

        Raises:
            UserError: it has another scale.
        """
        return self._predictor.latency(genome)

    def check_space(self, space: SearchSpace) -> None:
        """Raise UserError where a space has networks of another scale."""
        if space.scale != self.scale:
            raise UserError(
                f"latency: the profile is of networks for x{self.scale}, space.scale is"
                f" {space.scale}: profile the device with this space"
            )

    def to_json(self) -> str:
        """Return the content of the profile's file."""
        median, spearman = self.error
        content = {
            "format": FORMAT,
            "backend": self.backend,
            "versions": dict(self.versions),
            "cpu": self.cpu,
            "threads": self.threads,
            "width": self.width,
            "height": self.height,
            "error": {"median": round(median, 6), "spearman": round(spearman, 6)},
            "reference": {"genome": str(self.reference), "ms": self.reference_ms},
            "networks": [
                {"genome": str(one.genome), "ms": one.milliseconds, "predicted_ms": one.predicted}
                for one in self.networks
            ],
        }
        return json.dumps(content, indent=1) + "\n"

    @property
    def digest(self) -> str:
        """What identifies the profile: 16 hexadecimal digits of a hash of its content."""
        content = json.dumps(json.loads(self.to_json()), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class LatencyPredictor:
    """Predicts latencies from a profile's networks and from others that are measured later.

    The prediction does not depend on the order in which these are learnt.
    """

    def __init__(self, profile: LatencyProfile) -> None:
        self._scale = profile.scale
        networks = profile.networks
        self._measured = {one.genome.key: (one.genome, one.milliseconds) for one in networks}
        self._known: dict[str, float] = {}
        self._fit: Fit | None = None

    def learn(self, measured: Iterable[tuple[Genome, float]]) -> None:
        """Add networks and their latencies in ms."""
        for genome, milliseconds in measured:
            self._measured[genome.key] = genome, milliseconds
            self._fit = None

    def latency(self, genome: Genome) -> float:
        """Return the predicted latency of a network in ms, > 0.

        Raises:
            UserError: it has another scale.
        """
        if self._fit is None or len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if (known := self._known.get(genome.key)) is not None:
            return known
        if genome.scale != self._scale:
            raise UserError(f"latency: the profile is of networks for x{self._scale}: {genome}")
        if self._fit is None:
            import numpy as np

            from falsr_nas.latency.prediction import Fit

            measured = [self._measured[key] for key in sorted(self._measured)]
            genomes, milliseconds = zip(*measured, strict=True)
            self._fit = Fit(genomes, np.array(milliseconds))
        latency = float(self._fit.predict([genome])[0])
        self._known[genome.key] = latency
        return latency


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
    except GenomeError as error:
        raise UserError(f"{name}: {error}: {again}") from None
    except KeyError as error:
        raise UserError(f"{name}: not a whole profile, {error} is missing: {again}") from None
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{name}: not a profile of a device ({first}): {again}") from None


def input_size(output: int, scale: int) -> int:
    """Return the low-resolution pixels of a side of ``output`` pixels, rounded up."""
    return -(-output // scale)


def _profile(content: Mapping[str, Any]) -> LatencyProfile:
    reference = content["reference"]
    networks = tuple(
        Timed(Genome.parse(one["genome"]), _time(one["ms"]), _time(one["predicted_ms"]))
        for one in content["networks"]
    )
    if len(networks) < FEWEST:
        raise ValueError(f"it has {len(networks)} networks")
    if content["backend"] not in EXTRAS:
        raise ValueError(f"there is no backend {content['backend']!r}")
    return LatencyProfile(
        content["backend"],
        {str(name): str(version) for name, version in content["versions"].items()},
        str(content["cpu"]),
        _count(content["threads"]),
        _count(content["width"]),
        _count(content["height"]),
        Genome.parse(reference["genome"]),
        _time(reference["ms"]),
        networks,
    )


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{value} ms is out of range")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is not a positive whole number")
    return value
