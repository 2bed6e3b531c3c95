"""The learning rate of every step, known before the first."""

from __future__ import annotations

import torch
from torch import Tensor

from falsr_nas.training.settings import Decay, TrainingSettings


def learning_rates(settings: TrainingSettings) -> Tensor:
    """One rate a step, (epochs * steps_per_epoch,) float32: a linear warm-up, then constant, or falling to 0 along a line or half a cosine.

    A table, so that a step can read its rate on the device, without a word from the host.
    """
    step = torch.arange(settings.steps, dtype=torch.float64)
    warmup = torch.clamp((step + 1) / max(1, settings.warmup), max=1.0)
    rest = torch.clamp((step - settings.warmup) / max(1, settings.steps - settings.warmup), min=0.0)  # 0 .. 1
    fall = {
        Decay.constant: torch.ones_like(rest),
        Decay.linear: 1 - rest,
        Decay.cosine: 0.5 * (1 + torch.cos(torch.pi * rest)),
    }[settings.decay]
    return (settings.rate * warmup * fall).float()
