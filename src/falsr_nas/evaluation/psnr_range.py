"""The PSNR between which searches with an evaluator are compared."""

from __future__ import annotations

from functools import singledispatch

from falsr_nas.evaluation.settings import (
    EvaluationContext,
    EvaluatorSettings,
    IncompleteTrainingSettings,
    SyntheticSettings,
)

REACHABLE = 4.0
"""dB above bilinear interpolation that networks of the space can reach."""


@singledispatch
def psnr_range(
    settings: EvaluatorSettings, context: EvaluationContext
) -> tuple[float, float] | None:
    """Return the PSNR in dB at the worst and at the best end of the hypervolume's scale.

    From what is worthless, as plain interpolation, to just above what networks of the space can
    reach, so that quality and cost weigh alike in the hypervolume. None, for a wide range, unless a
    function is registered for the type of the settings, which a plug-in does by
    ``@psnr_range.register``.

    Raises:
        UserError: the range follows from files or images, and they cannot be read.
    """
    return None


@psnr_range.register
def _(settings: IncompleteTrainingSettings, context: EvaluationContext) -> tuple[float, float]:
    """Return the PSNR of bilinear interpolation on the validation images, and 4 dB more.

    4 dB is our choice: the published FALSR-A is 2.6 (B100) to 4.3 dB (Set5) above bicubic
    interpolation (docs/evaluate.md), which is about 1 dB above bilinear.
    """
    from falsr_nas.training.interpolation import interpolation_psnr

    worst = interpolation_psnr(context.data, context.scale, context.degradation)
    return worst, worst + REACHABLE


@psnr_range.register
def _(settings: SyntheticSettings, context: EvaluationContext) -> tuple[float, float]:
    """Return the range of the formula's PSNR over the paper's space."""
    return 24.0, 37.0
