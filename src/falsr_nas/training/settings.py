"""What a training can be told. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from falsr_nas.errors import UserError


class Target(StrEnum):
    """What the network's output is compared with."""

    image = "image"
    """The high-resolution luma itself (the paper)."""
    residual = "residual"
    """What bilinear interpolation misses: the upscaled luma is the network's output plus bilinear x2 of its input."""


class Initialization(StrEnum):
    """How weights begin."""

    normal = "normal"
    """Weights N(0, 0.02^2), biases 0 (the paper, VI-A)."""
    he = "he"
    """Weights N(0, 2 / fan-in), biases 0 (He et al., 2015); inverted bottlenecks begin as the identity, their last convolution at 0.
    Without normalisation layers their outputs would double with each of them, and a short training would end below interpolation."""
    torch = "torch"
    """PyTorch's default."""


class Precision(StrEnum):
    """Arithmetic of the training steps. Weights, optimiser, loss and validation are always float32."""

    auto = "auto"
    """bfloat16 where the processor has it, else float32."""
    bf16 = "bf16"
    fp32 = "fp32"


class Decay(StrEnum):
    """How the learning rate ends."""

    constant = "constant"
    """It does not change (paper, VI-A)."""
    linear = "linear"
    """Down to 0 along a line."""
    cosine = "cosine"
    """Down to 0 along half a cosine (Loshchilov and Hutter, 2017)."""


@dataclass(frozen=True)
class TrainingSettings:
    """A training of fixed length: Adam on the L1 loss of luma patches (paper, VI-A). The defaults are those of ``training=short``.

    Attributes:
        epochs: passes; with ``steps_per_epoch`` 50 one is what DIV2K's 800 images make at batch 16.
        steps_per_epoch: optimiser steps of an epoch.
        batch_size: patches of a step.
        patch_size: side of a low-resolution patch, in pixels; the high-resolution one is twice that.
        learning_rate: learning rate, the highest.
        warmup: steps in which the rate rises from 0, along a line; a training of fewer never reaches it.
        decay: how it goes on.
        betas: Adam's decay rates.
        ema: decay of the exponential moving average of the weights, which is then what is validated and kept, e.g. 0.999: it reaches
            about 1 / (1 - ema) steps back. Null for none.
        target: what the output is compared with.
        initialization: how weights begin.
        zero_output: whether the last convolution begins at zero, so that the untrained output is 0: with the residual target, training
            begins at interpolation instead of at noise.
        precision: arithmetic of the training steps.
    """

    epochs: int = 10
    steps_per_epoch: int = 50
    batch_size: int = 4
    patch_size: int = 16
    learning_rate: float = 1e-3
    warmup: int = 20
    decay: Decay = Decay.linear
    betas: tuple[float, float] = (0.9, 0.999)
    ema: float | None = None
    target: Target = Target.residual
    initialization: Initialization = Initialization.he
    zero_output: bool = True
    precision: Precision = Precision.auto

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"training.{name} is {getattr(self, name)}: it must be at least 1")
        if self.patch_size < 4:
            raise UserError(
                f"training.patch_size is {self.patch_size}: a low-resolution patch needs at least 4 pixels a side"
            )
        if not self.learning_rate > 0:
            raise UserError(f"training.learning_rate is {self.learning_rate}: it must be positive")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(
                f"training.betas is {list(self.betas)}: give two numbers in 0..1, 1 excluded"
            )
        if self.warmup < 0:
            raise UserError(f"training.warmup is {self.warmup}: give a number of steps, 0 for none")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UserError(
                f"training.ema is {self.ema}: give a number between 0 and 1, or null for none"
            )
        object.__setattr__(self, "betas", tuple(self.betas))

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * self.steps_per_epoch


MODERN = TrainingSettings(
    epochs=400,
    batch_size=16,
    patch_size=48,
    warmup=200,
    decay=Decay.cosine,
    ema=0.999,
)
"""The full training of ``training=modern``; ``conf/training/modern.yaml`` says whose choice is what."""


@dataclass(frozen=True)
class TrainerSettings:
    """On what a full training runs, and how often it is looked at; none of it changes what it is trained to, but for rounding.

    Attributes:
        devices: GPUs, or processes on a CPU, that share each batch.
        accelerator: ``auto``, ``gpu`` or ``cpu``.
        validate_every: epochs from one validation, and one checkpoint, to the next; what a crash can cost at most.
    """

    devices: int = 1
    accelerator: str = "auto"
    validate_every: int = 5

    def __post_init__(self) -> None:
        for name in ("devices", "validate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"trainer.{name} is {getattr(self, name)}: it must be at least 1")
        if self.accelerator not in ("auto", "gpu", "cpu"):
            raise UserError(f"trainer.accelerator is {self.accelerator!r}: choose auto, gpu or cpu")
