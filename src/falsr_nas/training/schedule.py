"""Schedules: learning rates and averaging weights of all steps, computed before the first."""

from __future__ import annotations

import torch
from torch import Tensor

from falsr_nas.training.settings import Decay, TrainingSettings


def learning_rates(settings: TrainingSettings) -> Tensor:
    """Return the learning rate of each step, (epochs * steps_per_epoch,) float32.

    A linear warm-up, then constant, or decaying to 0 along a line or half a cosine. It is a table,
    so that a step can read its rate on the device.
    """
    step = torch.arange(settings.steps, dtype=torch.float64)
    warmup = torch.clamp((step + 1) / max(1, settings.warmup), max=1.0)
    rest = torch.clamp(
        (step - settings.warmup) / max(1, settings.steps - settings.warmup), min=0.0
    )  # 0 .. 1
    fall = {
        Decay.constant: torch.ones_like(rest),
        Decay.linear: 1 - rest,
        Decay.cosine: 0.5 * (1 + torch.cos(torch.pi * rest)),
    }[settings.decay]
    return (settings.learning_rate * warmup * fall).float()


def average_shares(settings: TrainingSettings) -> Tensor:
    """Return the share of the trained weights in the averaged ones at each step, (steps,) float32.

    It is 1 - ema, but at least 9 / (10 + t) at step t, as in TensorFlow's ExponentialMovingAverage:
    the first weights, which are noise, are soon forgotten.
    """
    assert settings.ema is not None, "only asked for where there is an average"
    step = torch.arange(settings.steps, dtype=torch.float64)
    return torch.clamp(9 / (10 + step), min=1 - settings.ema).float()
