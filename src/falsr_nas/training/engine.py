"""The training steps: the whole inner loop of a training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim.adam import adam

from falsr_nas.networks.runtime_network import cpu_has_bf16
from falsr_nas.training.settings import StepPrecision

Batches = Callable[[], tuple[Tensor, Tensor]]
"""Draws a batch: luma (N, 1, P, P) and high-resolution luma (N, 1, sP, sP), both in [0, 1]."""

WARMUP = 3
"""Steps before a CUDA graph is recorded, in which libraries select kernels and the optimiser makes
its state. They are ordinary steps of the training."""


def step_dtype(precision: StepPrecision, device: torch.device) -> torch.dtype:
    """Return the arithmetic of the convolutions; ``auto`` is bfloat16 where that is fast."""
    if precision is StepPrecision.auto:
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bf16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision is StepPrecision.bf16 else torch.float32


def exact_cudnn(allow_tf32: bool = True) -> AbstractContextManager[None]:
    """Make cuDNN deterministic, so that a seed has one result, and optionally switch off TF32."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=allow_tf32
    )
    return flags


class StepEngine:
    """Runs optimiser steps without synchronising with the host in between.

    On a CUDA device the whole step, from drawing the batch to Adam, is recorded as a CUDA graph
    once and replayed: a step of a small network is a few hundred kernels, whose launches would take
    longer than their execution. Where recording fails, steps run kernel by kernel, with a warning.

    Args:
        model: luma to high-resolution luma; its trainable parameters are trained.
        optimizer: Adam over those parameters.
        rates: learning rate of each step, (steps,) float32, on the model's device.
        batches: draws each step's batch, on the model's device.
        dtype: arithmetic of the forward and backward passes; weights, loss and optimiser are
            float32.
        average: parameters that follow the model's as a moving average, in the same order, and the
            share of the model's at each step, (steps,).
        generator: random generator of ``batches``, for the graph.
        processes: how many processes share each batch; their gradients are averaged.
        graph: whether to record a CUDA graph on a CUDA device; False is for comparisons.

    Attributes:
        position: steps taken so far, (1,) on the device.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Adam,
        rates: Tensor,
        batches: Batches,
        dtype: torch.dtype,
        *,
        average: tuple[list[Tensor], Tensor] | None = None,
        generator: torch.Generator | None = None,
        processes: int = 1,
        graph: bool = True,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.dtype = dtype
        self.position = torch.zeros(1, dtype=torch.long, device=rates.device)
        self._rates = rates
        self._parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self._average = average
        self._generator = generator
        self._processes = processes
        self._total = torch.zeros((), device=rates.device)
        self._warm = 0
        self._graph: Any = None if graph else False  # a CUDA graph, or False where there is none
        self.go_on_from(0)

    def go_on_from(self, position: int) -> None:
        """Continue as if ``position`` steps had been taken; the optimiser has its state of then."""
        self.position.fill_(position)
        self._state: list[list[Tensor]] | None = None  # the optimizer's, once it has taken a step
        for group in self.optimizer.param_groups:
            # A tensor on the device, so that each step can set it there.
            group["lr"] = self._rates[0].clone()
            # A checkpoint may be of a training on another kind of device.
            group["capturable"] = self._rates.is_cuda

    def run(self, steps: int) -> Tensor:
        """Take ``steps`` steps and return their mean L1 loss over all processes, on the device."""
        self._total.zero_()
        if self._total.device.type == "cuda":
            with exact_cudnn():
                self._replay(steps)
        else:
            for _ in range(steps):
                self._step()
        if self._processes > 1:  # so that all processes stop when it is not finite
            torch.distributed.all_reduce(self._total)
        return self._total / (steps * self._processes)

    def _step(self) -> None:
        low, high = self.batches()
        with torch.autocast(
            low.device.type,
            self.dtype,
            enabled=self.dtype is not torch.float32,
            cache_enabled=False,
        ):
            output = self.model(low)
        loss = l1_loss(output.float(), high)
        gradients = list(torch.autograd.grad(loss, self._parameters, materialize_grads=True))
        if self._processes > 1:
            gradients = self._shared(gradients)
        self._update(gradients)
        if self._average is not None:
            self._follow(*self._average)
        self.position += 1
        self._total += loss.detach()

    def _update(self, gradients: list[Tensor]) -> None:
        """Take a step of Adam, without what the optimizer looks up in each of its steps."""
        # Fused Adam pairs numbers by their places in memory, whatever the strides.
        pairs = zip(self._parameters, gradients, strict=True)
        gradients = [
            g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for p, g in pairs
        ]
        (group,) = self.optimizer.param_groups
        group["lr"].copy_(self._at_position(self._rates))
        if self._state is None:  # it makes its state in its first step
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
            self.optimizer.zero_grad()
            states = [self.optimizer.state[parameter] for parameter in self._parameters]
            parts = "exp_avg", "exp_avg_sq", "step"
            self._state = [[state[part] for state in states] for part in parts]
            return  # from now on the state is updated in place
        beta1, beta2 = group["betas"]
        names = "lr", "eps", "weight_decay", "amsgrad", "maximize", "capturable"
        options = {name: group[name] for name in names} | {"beta1": beta1, "beta2": beta2}
        averages, squares, steps = self._state
        adam(self._parameters, gradients, averages, squares, [], steps, fused=True, **options)

    def _at_position(self, table: Tensor) -> Tensor:
        return table.gather(0, self.position).squeeze()  # an index would wait for the device

    def _follow(self, followers: list[Tensor], shares: Tensor) -> None:
        share, parameters = self._at_position(shares), [p.detach() for p in self._parameters]
        if not share.is_cuda:
            torch._foreach_lerp_(followers, parameters, share.item())
            return
        way = torch._foreach_sub(parameters, followers)
        torch._foreach_mul_(way, share)
        torch._foreach_add_(followers, way)

    def _shared(self, gradients: list[Tensor]) -> list[Tensor]:
        """Average the gradients of all processes, in one message."""
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self._processes
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]

    def _replay(self, steps: int) -> None:
        for _ in range(steps):
            if self._graph is None and self._warm >= WARMUP:
                self._graph = self._record()
            if self._graph:
                self._graph.replay()
                continue
            # Steps before recording run on a side stream, as PyTorch's notes on CUDA graphs demand.
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._step()
            torch.cuda.current_stream().wait_stream(stream)
            self._warm += 1

    def _record(self) -> Any:
        """Record the graph of a step; False where that fails."""
        graph = torch.cuda.CUDAGraph()
        if self._generator is not None:
            graph.register_generator_state(self._generator)
        try:
            # Other threads (NCCL's watchdog, another candidate) may use the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._step()
        except RuntimeError as error:
            warnings.warn(
                f"no CUDA graph, so steps are slower: {str(error).splitlines()[0]}", stacklevel=2
            )
            return False
        return graph
