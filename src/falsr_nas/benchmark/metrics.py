"""Metrics over sets of images, for scoring and for validation during training.

They are torchmetrics, so that they can be updated batch by batch, logged by Lightning, and averaged
over several processes. What they compute per image is in :mod:`falsr_nas.benchmark.image_quality`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from falsr_nas.benchmark.image_quality import check_comparable, luma_mse, psnr, scored_luma, ssim
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.space.ends import SCALE


class MeanOverImages(Metric):
    """Base class: the mean of a value over all images seen, on all processes.

    Subclasses define :meth:`values`. The mean over a set is that of its images, as in papers:
    batches of different sizes weigh by their number of images.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def values(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare N images: (N, C, H, W) twice -> (N,)."""
        raise NotImplementedError

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add N images (N, C, H, W) and their targets of the same shape."""
        values = self.values(output, target)
        self.total += values.double().sum()
        self.images += len(values)

    def compute(self) -> Tensor:
        """Return the mean over the images."""
        return self.total / self.images


class _ProtocolMetric(MeanOverImages):
    """A metric of the luma that a scoring protocol compares.

    Args:
        protocol: how the luma is made from 8-bit levels (N, 3, H, W).
        scale: pixels that are left out on each side.
        **kwargs: of :class:`torchmetrics.Metric`.
    """

    higher_is_better = True
    measure: Callable[[Tensor, Tensor], Tensor]

    def __init__(
        self,
        protocol: ScoringProtocol = ScoringProtocol.standard,
        scale: int = SCALE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol, self.scale = protocol, scale

    def values(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare N images: 8-bit levels (N, 3, H, W) twice -> (N,)."""
        check_comparable(output, target)
        first, second = (scored_luma(rgb, self.protocol, self.scale) for rgb in (output, target))
        return self.measure(first, second)


class PSNR(_ProtocolMetric):
    """Mean PSNR in dB of images given as 8-bit levels (N, 3, H, W), under a protocol.

    Raises:
        UserError: on update with images of different shapes.
    """

    measure = staticmethod(psnr)


class SSIM(_ProtocolMetric):
    """Mean SSIM of images given as 8-bit levels (N, 3, H, W), under a protocol.

    Raises:
        UserError: on update with images of different shapes, or of less than 11 x 11 pixels after
            shaving.
    """

    measure = staticmethod(ssim)


class LumaMSE(MeanOverImages):
    """Mean squared error, in 8-bit levels, of studio-range luma: what training is validated with.

    Planes are given in [0, 1]. The output is clipped, and the border is shaved as in scoring.

    Args:
        scale: pixels that are left out on each side.
        **kwargs: of :class:`torchmetrics.Metric`.
    """

    higher_is_better = False

    def __init__(self, scale: int = SCALE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def values(self, output: Tensor, target: Tensor) -> Tensor:
        """MSE per image: planes (N, 1, H, W) twice -> (N,)."""
        return luma_mse(output, target, self.scale)
