"""The metric of the validation during training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from falsr_nas.benchmark.image_quality import luma_mse
from falsr_nas.space.ends import SCALE


class LumaMSE(Metric):
    """Mean squared error, in 8-bit levels, of studio-range luma: what training is validated with.

    Planes are given in [0, 1]. The output is clipped, and the border is shaved as in scoring. The
    mean is that of all images seen, on all processes: batches of different sizes weigh by their
    number of images.

    Args:
        scale: pixels that are left out on each side.
        **kwargs: of :class:`torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    total: Tensor
    images: Tensor

    def __init__(self, scale: int = SCALE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add N planes (N, 1, H, W) and their targets of the same shape."""
        values = luma_mse(output, target, self.scale)
        self.total += values.double().sum()
        self.images += len(values)

    def compute(self) -> Tensor:
        """Return the mean over the images."""
        return self.total / self.images
