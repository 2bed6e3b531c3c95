"""PSNR and SSIM of images, under the two scoring protocols for super-resolution.

Scores are comparable only under the same protocol, so each :class:`ProtocolScore` names its own.
Both protocols compare the luma of YCbCr in studio range (16 to 235), leave out as many pixels on
each side as the scale (2 at x2), take 255 as the peak, and average over the images of a set. They
differ in rounding:

- ``standard``: the output image is clipped and rounded to 8 bits; its luma is not rounded (EDSR,
  RCAN and most later work).
- ``falsr``: the output image is clipped and *truncated* to 8 bits; then the luma of both images is
  rounded (the FALSR authors' script).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.core.errors import UserError
from falsr_nas.data.levels import PEAK, STUDIO_RANGE
from falsr_nas.space.ends import SCALE

# In 8-bit levels. float32 turns 100 into 99.99999 on its way through [0, 1]; truncation must not
# make 99 of it.
_FLOAT_ERROR = 2.0**-12
_WINDOW = 11
_SIGMA = 1.5
_STUDIO_LUMA = (65.481, 128.553, 24.966)  # ITU-R BT.601, for R, G and B in [0, 1]


@dataclass(frozen=True, slots=True)
class ProtocolScore:
    """The quality of an image, or the mean quality of a set.

    Attributes:
        psnr: PSNR in dB; infinite for equal images.
        ssim: SSIM, at most 1.
        protocol: the protocol under which both were measured.
    """

    psnr: float
    ssim: float
    protocol: ScoringProtocol


def psnr(output: Tensor, target: Tensor, peak: float = PEAK) -> Tensor:
    """Peak signal-to-noise ratio: (N, C, H, W) twice -> (N,) in dB, infinite for equal images.

    Raises:
        UserError: the shapes differ.
    """
    check_comparable(output, target)
    return 10 * torch.log10(peak**2 / (output - target).square().mean(dim=(1, 2, 3)))


def ssim(output: Tensor, target: Tensor, peak: float = PEAK) -> Tensor:
    """Structural similarity (Wang et al., 2004): (N, C, H, W) twice -> (N,).

    The window is an 11x11 Gaussian of sigma 1.5. SSIM is averaged over the windows that lie fully
    inside the image; variances are divided by the sum of the window's weights, not by n - 1.
    Computed in float64: differences between squares of 8-bit levels lose too many digits in
    float32.

    Raises:
        UserError: the shapes differ, or the images are smaller than the window.
    """
    check_comparable(output, target)
    if min(output.shape[-2:]) < _WINDOW:
        raise UserError(
            f"SSIM needs images of at least {_WINDOW} x {_WINDOW} pixels after shaving,"
            f" not {output.shape[-2]} x {output.shape[-1]}"
        )
    n, c, h, w = output.shape
    x, y = (image.double().reshape(n * c, 1, h, w) for image in (output, target))
    position = torch.arange(_WINDOW, dtype=torch.float64, device=x.device) - _WINDOW // 2
    weights = torch.softmax(-(position**2) / (2 * _SIGMA**2), dim=0)  # a normalised Gaussian

    def blur(image: Tensor) -> Tensor:
        return conv2d(conv2d(image, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    )
    return similarity.reshape(n, -1).mean(dim=1).to(output.dtype)


def studio_luma(rgb: Tensor) -> Tensor:
    """Y of YCbCr in studio range: (N, 3, H, W) in [0, 255] -> (N, 1, H, W) in [16, 235].

    The result is floating point and not rounded.
    """
    if not rgb.is_floating_point():
        rgb = rgb.float()
    weights = torch.tensor(_STUDIO_LUMA, dtype=rgb.dtype, device=rgb.device).view(1, 3, 1, 1)
    return (rgb / PEAK * weights).sum(dim=1, keepdim=True) + 16


def quantise(rgb: Tensor, protocol: ScoringProtocol) -> Tensor:
    """Clip levels to [0, 255] and convert them to uint8 as the protocol does: any shape."""
    rgb = rgb.clamp(0, PEAK)
    levels = rgb.round() if protocol == ScoringProtocol.standard else (rgb + _FLOAT_ERROR).floor()
    return levels.to(torch.uint8)


def luma_mse(output: Tensor, target: Tensor, scale: int = SCALE) -> Tensor:
    """Return the mean squared error of luma planes in squared 8-bit levels, studio range: (N,).

    This is what training is validated with.

    Args:
        output: (N, 1, H, W), clipped to [0, 1].
        target: (N, 1, H, W) in [0, 1].
        scale: pixels that are left out on each side.
    """
    error = shaved(output.clamp(0, 1) - target, scale) * STUDIO_RANGE
    mse: Tensor = error.square().mean(dim=(1, 2, 3))
    return mse


def scored_luma(rgb: Tensor, protocol: ScoringProtocol, scale: int = SCALE) -> Tensor:
    """Luma that a protocol compares: 8-bit levels (N, 3, H, W) -> (N, 1, H - 2s, W - 2s).

    s is the scale.
    """
    y = shaved(studio_luma(rgb), scale)
    return y.round() if protocol == ScoringProtocol.falsr else y


def shaved(image: Tensor, scale: int) -> Tensor:
    """Leave out as many pixels on each side as the scale: (..., H, W) -> (..., H - 2s, W - 2s)."""
    return image[..., scale:-scale, scale:-scale]


def score(
    output: Tensor, target: Tensor, protocol: ScoringProtocol, scale: int = SCALE
) -> list[ProtocolScore]:
    """Score N images, given as 8-bit levels (N, 3, H, W) of any data type.

    Raises:
        UserError: the shapes differ, or the images are too small for SSIM.
    """
    check_comparable(output, target)
    y, reference = (scored_luma(image, protocol, scale) for image in (output, target))
    pairs = zip(psnr(y, reference).tolist(), ssim(y, reference).tolist(), strict=True)
    return [ProtocolScore(p, s, protocol) for p, s in pairs]


def check_comparable(output: Tensor, target: Tensor) -> None:
    """Raise UserError unless both are (N, C, H, W) of the same shape."""
    if output.shape != target.shape or output.dim() != 4:
        raise UserError(
            f"cannot compare images of shapes {tuple(output.shape)} and {tuple(target.shape)}:"
            " both must be (N, C, H, W)"
        )
