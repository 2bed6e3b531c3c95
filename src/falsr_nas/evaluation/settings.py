"""What an evaluator can be told. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.errors import UserError


@dataclass(frozen=True)
class EvaluatorSettings:
    """What every evaluator has: nothing, so far."""


@dataclass(frozen=True)
class IncompleteTrainingSettings(EvaluatorSettings):
    """Train each candidate for a short while, then score it on the validation images (paper, V and VI-A).

    Attributes:
        threads: processor threads of an evaluation; null for all. A score depends on it in the last digits. One thread and as many
            workers as cores is the quickest split of a processor: no thread ever waits for another (our choice, by measurement).
    """

    threads: int | None = 1

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UserError(
                f"evaluator.threads is {self.threads}: it must be at least 1, or null for all"
            )


@dataclass(frozen=True)
class SyntheticSettings(EvaluatorSettings):
    """Score each candidate by a documented function, at once: for tests and for comparing controllers.

    Attributes:
        noise: standard deviation of the PSNR, in dB, fixed by the search's seed and the genome.
        seconds: how long an evaluation pretends to work.
    """

    noise: float = 0.05
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.noise < 0 or self.seconds < 0:
            raise UserError("evaluator.noise and evaluator.seconds cannot be negative")
