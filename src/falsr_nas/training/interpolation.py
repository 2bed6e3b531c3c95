"""The PSNR that plain interpolation has on the validation images."""

from __future__ import annotations

from statistics import fmean

from torch.nn.functional import interpolate

from falsr_nas.benchmark.image_quality import luma_mse
from falsr_nas.data.levels import psnr_from_mse
from falsr_nas.data.settings import DataSettings, DegradationSettings
from falsr_nas.data.validation import load_validation, luma_planes


def interpolation_psnr(
    data: DataSettings, scale: int = 2, degradation: DegradationSettings | None = None
) -> float:
    """Return the PSNR in dB of bilinear interpolation on the validation images.

    It is measured as networks are, so it is the score of a network that learns the residual and
    whose output starts at zero, before its first step.

    Raises:
        DataError: images are missing or cannot be used.
    """
    errors = []
    for low, high in luma_planes(load_validation(data, scale, degradation)):
        output = interpolate(low, high.shape[-2:], mode="bilinear", align_corners=False)
        errors += luma_mse(output, high, scale).tolist()
    return psnr_from_mse(fmean(errors))
