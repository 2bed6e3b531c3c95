"""Settings of evaluators. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from falsr_nas.cli.registry import Registry
from falsr_nas.cli.settings import Settings
from falsr_nas.data.settings import DataSettings
from falsr_nas.errors import UserError
from falsr_nas.training.settings import TrainingSettings

if TYPE_CHECKING:
    from falsr_nas.evaluation.evaluator import Evaluator


@dataclass(frozen=True)
class EvaluatorSettings(Settings, group="evaluator"):
    """Settings that every evaluator has: none so far."""


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluator may use besides its own settings.

    Attributes:
        training: the incomplete training of each candidate.
        data: the images.
        seed: seed of the search.
        devices: devices, or processes, that evaluate each candidate together.
    """

    training: TrainingSettings
    data: DataSettings
    seed: int
    devices: int = 1


EVALUATORS: Registry[EvaluatorSettings, Evaluator] = Registry("evaluator")
"""The options of the config group ``evaluator``.

Factories take the settings and an :class:`EvaluationContext`."""


@EVALUATORS.register("incomplete", "falsr_nas.evaluation.incomplete_training:IncompleteTraining.of")
@dataclass(frozen=True)
class IncompleteTrainingSettings(EvaluatorSettings):
    """Train each candidate briefly, then score it on the validation images (paper, V and VI-A).

    Attributes:
        threads: processor threads of an evaluation; null for all. The last digits of a score depend
            on it. One thread and as many workers as cores is the fastest way to use a processor,
            because no thread waits for another (our choice, measured).
        common_patches: whether all candidates of a search are trained on the same patches in the
            same order (common random numbers), so that the choice of patches does not distinguish
            them.
        common_weights: whether layers of the same name and shape begin with the same weights in all
            candidates, for the same reason.
    """

    threads: int | None = 1
    common_patches: bool = False
    common_weights: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UserError(
                f"evaluator.threads is {self.threads}: it must be at least 1, or null for all"
            )


@EVALUATORS.register("synthetic", "falsr_nas.evaluation.synthetic:SyntheticEvaluator.of")
@dataclass(frozen=True)
class SyntheticSettings(EvaluatorSettings):
    """Score each candidate by a formula, for tests and for comparing controllers.

    Attributes:
        noise: standard deviation of the PSNR in dB; the search's seed and the genome determine it.
        seconds: how long an evaluation sleeps.
    """

    noise: float = 0.05
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.noise < 0 or self.seconds < 0:
            raise UserError("evaluator.noise and evaluator.seconds cannot be negative")
