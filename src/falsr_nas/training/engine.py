"""The training step, many at a call: the whole inner loop of a training on one screen."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Optimizer

from falsr_nas.training.settings import Precision

Batches = Callable[[], tuple[Tensor, Tensor]]
"""Draws a batch: low-resolution luma (N, 1, P, P) and high-resolution luma (N, 1, 2P, 2P), both in [0, 1]."""


def step_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The arithmetic of the convolutions: bfloat16 where asked for, or where ``auto`` finds that the processor has it."""
    if precision is Precision.auto:
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bf16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision is Precision.bf16 else torch.float32


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; emulated, it would be slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class StepEngine:
    """Runs optimiser steps without a word to the host in between.

    Attributes:
        model: low-resolution luma to high-resolution luma.
        optimizer: of the model's parameters.
        batches: draws each step's batch.
        dtype: arithmetic of the forward and backward passes; weights, loss and optimiser are float32.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, batches: Batches, dtype: torch.dtype) -> None:
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.dtype = dtype

    def run(self, steps: int) -> Tensor:
        """Take ``steps`` steps; their mean L1 loss, still on the device: reading it is the only wait."""
        total = torch.zeros((), device=next(self.model.parameters()).device)
        for _ in range(steps):
            total += self._step()
        return total / steps

    def _step(self) -> Tensor:
        low, high = self.batches()
        with torch.autocast(low.device.type, self.dtype, enabled=self.dtype is not torch.float32):
            output = self.model(low)
        loss = l1_loss(output.float(), high)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()
