"""PSNR and SSIM, and the two protocols by which papers of this field score x2 super-resolution.

A score means nothing without its protocol, so a :class:`ProtocolScore` carries it. Both protocols compare the luma of YCbCr in studio range
(16 to 235), leave out 2 pixels on each side, take 255 as the peak, and average over the images of a set. They differ in rounding:

- ``standard``: the output image is clipped and rounded to 8 bits, its luma is not rounded (EDSR, RCAN and most later work).
- ``falsr``: the output image is clipped and *truncated* to 8 bits, then the luma of both images is rounded (the FALSR authors' script).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.errors import UserError

PEAK = 255.0
"""Largest value of an 8-bit image."""

SHAVE = 2
"""Pixels left out on each side before scoring: the scale."""

_FLOAT_ERROR = (
    2.0**-12
)  # levels: 100 that float32 made 99.99999 on its way through [0, 1] is still 100
_WINDOW = 11
_SIGMA = 1.5
_STUDIO_LUMA = (65.481, 128.553, 24.966)  # ITU-R BT.601, for R, G, B in 0..1


@dataclass(frozen=True, slots=True)
class ProtocolScore:
    """Quality of one image, or the mean over a set.

    Attributes:
        psnr: in dB; infinite for equal images.
        ssim: at most 1.
        protocol: how it was measured.
    """

    psnr: float
    ssim: float
    protocol: ScoringProtocol


def psnr(output: Tensor, target: Tensor, peak: float = PEAK) -> Tensor:
    """Peak signal-to-noise ratio: (N, C, H, W) twice -> (N,) in dB, infinite where they are equal. Raises UserError on unequal shapes."""
    check_comparable(output, target)
    return 10 * torch.log10(peak**2 / (output - target).square().mean(dim=(1, 2, 3)))


def ssim(output: Tensor, target: Tensor, peak: float = PEAK) -> Tensor:
    """Structural similarity (Wang et al., 2004): (N, C, H, W) twice -> (N,).

    11 x 11 Gaussian window of sigma 1.5, averaged over the windows that lie fully inside; variances divide by the window's weight, not by
    n - 1. Computed in float64, as differences of squares of 8-bit levels lose float32's digits.

    Raises:
        UserError: when the shapes differ, or the images are smaller than the window.
    """
    check_comparable(output, target)
    if min(output.shape[-2:]) < _WINDOW:
        raise UserError(
            f"SSIM needs images of at least {_WINDOW} x {_WINDOW} pixels after shaving, not {output.shape[-2]} x {output.shape[-1]}"
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
    likeness = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    )
    return likeness.reshape(n, -1).mean(dim=1).to(output.dtype)


def luma(rgb: Tensor) -> Tensor:
    """Y of YCbCr in studio range: (N, 3, H, W) in 0..255 -> (N, 1, H, W) in 16..235, floating point, not rounded."""
    if not rgb.is_floating_point():
        rgb = rgb.float()
    weights = torch.tensor(_STUDIO_LUMA, dtype=rgb.dtype, device=rgb.device).view(1, 3, 1, 1)
    return (rgb / PEAK * weights).sum(dim=1, keepdim=True) + 16


def quantise(rgb: Tensor, protocol: ScoringProtocol) -> Tensor:
    """An image as it is saved: (N, 3, H, W) in 0..255 and beyond -> uint8, rounded or truncated as the protocol has it."""
    rgb = rgb.clamp(0, PEAK)
    return (
        rgb.round() if protocol is ScoringProtocol.standard else (rgb + _FLOAT_ERROR).floor()
    ).to(torch.uint8)


def scored_luma(rgb: Tensor, protocol: ScoringProtocol) -> Tensor:
    """What a protocol compares: 8-bit levels (N, 3, H, W) -> shaved luma (N, 1, H - 4, W - 4)."""
    y = luma(rgb)[..., SHAVE:-SHAVE, SHAVE:-SHAVE]
    return y.round() if protocol is ScoringProtocol.falsr else y


def score(output: Tensor, target: Tensor, protocol: ScoringProtocol) -> list[ProtocolScore]:
    """Scores of N images, from their 8-bit levels (N, 3, H, W), integers or floats. Raises UserError when they cannot be compared."""
    check_comparable(output, target)
    y, reference = scored_luma(output, protocol), scored_luma(target, protocol)
    pairs = zip(psnr(y, reference).tolist(), ssim(y, reference).tolist(), strict=True)
    return [ProtocolScore(p, s, protocol) for p, s in pairs]


def mean_score(scores: list[ProtocolScore]) -> ProtocolScore:
    """The mean over a set, as papers give it: the mean of the images' PSNR, not the PSNR of their mean error.

    Raises:
        UserError: when there is no score, or the scores follow different protocols.
    """
    protocols = {one.protocol for one in scores}
    if len(protocols) != 1:
        raise UserError(
            f"a mean needs scores of one protocol, not of {sorted(protocols) or 'none'}"
        )
    return ProtocolScore(
        sum(one.psnr for one in scores) / len(scores),
        sum(one.ssim for one in scores) / len(scores),
        protocols.pop(),
    )


def check_comparable(output: Tensor, target: Tensor) -> None:
    """Raise UserError unless both are (N, C, H, W) of one shape."""
    if output.shape != target.shape or output.dim() != 4:
        raise UserError(
            f"cannot compare images of shapes {tuple(output.shape)} and {tuple(target.shape)}: both must be (N, C, H, W)"
        )
