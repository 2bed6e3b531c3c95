"""The PSNR between which searches are compared, by evaluator."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation.psnr_range import psnr_range
from falsr_nas.evaluation.settings import (
    EvaluationContext,
    EvaluatorSettings,
    SyntheticSettings,
)
from falsr_nas.training.settings import TrainingSettings

CONTEXT = EvaluationContext(TrainingSettings(), PhotographsSettings(), seed=1, scale=3)


@dataclass(frozen=True)
class Other(EvaluatorSettings):
    best: float = 40.0


@dataclass(frozen=True)
class OtherStill(Other):
    """Without a range of its own."""


def test_an_evaluator_has_no_range_of_its_own_unless_one_is_registered() -> None:
    assert psnr_range(EvaluatorSettings(), CONTEXT) is None


def test_the_range_of_the_formula() -> None:
    assert psnr_range(SyntheticSettings(), CONTEXT) == (24.0, 37.0)


def test_a_plug_in_can_register_a_range() -> None:
    @psnr_range.register
    def _(settings: Other, context: EvaluationContext) -> tuple[float, float]:
        return 10.0 * context.scale, settings.best

    assert psnr_range(Other(), CONTEXT) == (30.0, 40.0)
    assert psnr_range(OtherStill(best=41.0), CONTEXT) == (30.0, 41.0), "as what it inherits from"
