"""Settings of evaluators. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from falsr_nas.core.registry import Registry
from falsr_nas.core.settings import Settings, at_least
from falsr_nas.data.settings import DataSettings, DegradationSettings
from falsr_nas.training.settings import TrainingSettings

if TYPE_CHECKING:
    from falsr_nas.evaluation.evaluator import Evaluator
    from falsr_nas.latency.profile import LatencyProfile


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluator may use besides its own settings.

    Attributes:
        training: the incomplete training of each candidate.
        data: the images.
        seed: seed of the search.
        devices: devices, or processes, that evaluate each candidate together.
        scale: upscaling factor of the candidates.
        timed: profile of the device on which each candidate is timed; None where they are not.
        degradation: how LR images are made.
    """

    training: TrainingSettings
    data: DataSettings
    seed: int
    devices: int = 1
    scale: int = 2
    timed: LatencyProfile | None = None
    degradation: DegradationSettings = field(default_factory=DegradationSettings)


@dataclass(frozen=True)
class EvaluatorSettings(Settings, group="evaluator"):
    """Settings that every evaluator has: none so far."""


EVALUATORS: Registry[EvaluatorSettings, Evaluator] = Registry("evaluator")
"""The options of the config group ``evaluator``.

Factories take the settings and an :class:`EvaluationContext`."""


@EVALUATORS.register("incomplete", "falsr_nas.evaluation.incomplete_training:IncompleteTraining")
@dataclass(frozen=True)
class IncompleteTrainingSettings(EvaluatorSettings):
    """Train each candidate briefly, then score it on the validation images (paper, V and VI-A).

    Attributes:
        threads: processor threads of an evaluation; null for all. The last digits of a score depend
            on it. One thread and as many workers as cores is the fastest way to use a processor,
            because no thread waits for another (our choice, measured).
        common_patches: whether all candidates of a search are trained on the same patches in the
            same order (common random numbers), so that the choice of patches does not distinguish
            them. Our choice; not in the paper.
    """

    threads: int | None = at_least(1, default=1, null="all")
    common_patches: bool = True


@EVALUATORS.register("synthetic", "falsr_nas.evaluation.synthetic:SyntheticEvaluator.of")
@dataclass(frozen=True)
class SyntheticSettings(EvaluatorSettings):
    """Score each candidate by a made-up formula, for tests and for comparing controllers.

    Attributes:
        noise: standard deviation of the PSNR in dB; the search's seed and the genome determine it.
        seconds: how long an evaluation sleeps.
    """

    noise: float = at_least(0, unit="dB", default=0.05)
    seconds: float = at_least(0, default=0.0)
