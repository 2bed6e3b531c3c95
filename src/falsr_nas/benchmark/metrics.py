"""PSNR and SSIM of whole sets as torchmetrics, on top of :mod:`falsr_nas.benchmark.image_quality`: batched as they come, over all processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from falsr_nas.benchmark.image_quality import check_comparable, psnr, scored_luma, ssim
from falsr_nas.benchmark.protocol import ScoringProtocol


class _MeanOverImages(Metric):
    """A protocol's figure, averaged over all images seen, on all processes."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, protocol: ScoringProtocol = ScoringProtocol.standard, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.protocol = protocol
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def figure(self, output: Tensor, target: Tensor) -> Tensor:
        """Luma (N, 1, H, W) twice -> (N,)."""
        raise NotImplementedError

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add N images, given as 8-bit levels (N, 3, H, W). Raises UserError when they cannot be compared."""
        check_comparable(output, target)
        figures = self.figure(
            scored_luma(output, self.protocol), scored_luma(target, self.protocol)
        )
        self.total += figures.double().sum()
        self.images += len(figures)

    def compute(self) -> Tensor:
        """The mean over the images."""
        return self.total / self.images


class PSNR(_MeanOverImages):
    """Mean PSNR in dB under a protocol."""

    higher_is_better = True

    def figure(self, output: Tensor, target: Tensor) -> Tensor:
        """Luma (N, 1, H, W) twice -> (N,) in dB."""
        return psnr(output, target)


class SSIM(_MeanOverImages):
    """Mean SSIM under a protocol."""

    higher_is_better = True

    def figure(self, output: Tensor, target: Tensor) -> Tensor:
        """Luma (N, 1, H, W) twice -> (N,)."""
        return ssim(output, target)
