"""Settings of trainings. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from falsr_nas.core.errors import UserError
from falsr_nas.core.settings import Settings, at_least, between, one_of, positive


class Target(StrEnum):
    """What the network's output is compared with."""

    image = "image"
    """The high-resolution luma itself (the paper)."""
    residual = "residual"
    """The error of bilinear interpolation: the upscaled luma is the network's output plus its
    input, bilinearly upscaled."""


class Initialization(StrEnum):
    """Initial weights."""

    normal = "normal"
    """Weights N(0, 0.02^2), biases 0 (the paper, VI-A)."""
    he = "he"
    """Weights N(0, 2 / fan-in), biases 0 (He et al., 2015). The last convolution of inverted
    bottlenecks begins at 0, so that they are the identity: without normalisation layers, their
    outputs would double with each of them."""
    scaled_he = "scaled_he"
    """``he``, scaled so that activations are small, like the residual that is learned, and about
    equal in all nodes: the stem and the last layer of each residual branch by 0.1, and the linear
    entry of bottleneck cells to keep its input's size. Deep networks such as FALSR-A need it at
    high learning rates (our choice, experiments/x2_291_train)."""
    identity = "identity"
    """``he``, but in convolutions with as many outputs as inputs the identity plus He weights of a
    fiftieth of the variance: signals and gradients pass through deep and grouped networks from the
    first step on, at high learning rates, too. SESR and ECBSR add the identity, too."""


class StepPrecision(StrEnum):
    """Arithmetic of training steps. Weights, optimiser, loss and validation are always float32."""

    auto = "auto"
    """bfloat16 where the processor has it, else float32."""
    bf16 = "bf16"
    fp32 = "fp32"


class Decay(StrEnum):
    """Decay of the learning rate."""

    constant = "constant"
    """No decay (paper, VI-A)."""
    linear = "linear"
    """Down to 0 along a line."""
    cosine = "cosine"
    """Down to 0 along half a cosine (Loshchilov and Hutter, 2017)."""


@dataclass(frozen=True)
class TrainingSettings(Settings, group="training"):
    """Settings of a training of fixed length: Adam on the L1 loss of luma patches (paper, VI-A).

    The defaults are those of ``training=short``: of the recipes of experiments/recipe, the one that
    ranks candidates best in the same time. They are our choice where the paper is not named.

    Attributes:
        epochs: number of epochs.
        steps_per_epoch: optimiser steps of an epoch; 50 are one pass over DIV2K's 800 images at
            the paper's batch size of 16.
        batch_size: patches per step.
        patch_size: side of a low-resolution patch in pixels; the high-resolution one is s times
            that, with the scale s.
        learning_rate: the highest learning rate.
        warmup: steps in which the learning rate rises linearly from 0; a shorter training never
            reaches the highest one.
        decay: decay of the learning rate after the warm-up.
        betas: Adam's decay rates.
        ema: decay of the exponential moving average of the weights, which is then validated and
            kept, e.g. 0.999; it averages over about 1 / (1 - ema) steps, or the latest ninth of all
            steps if that is fewer. Null for no average.
        target: what the output is compared with.
        initialization: initial weights.
        zero_output: whether the last convolution begins at zero, so that the untrained output is 0:
            with the residual target, training begins at interpolation instead of at noise.
        precision: arithmetic of the training steps.
    """

    epochs: int = at_least(1, default=10)
    # 800 images at batch size 16, one patch an image: our reading of the paper's epoch.
    steps_per_epoch: int = at_least(1, default=50)
    # The paper has 16. In the same time, many small steps on small patches rank better; with four
    # patches, deep networks are judged worse than they become.
    batch_size: int = at_least(1, default=8)
    patch_size: int = at_least(4, unit="pixels", default=16)
    # The paper has 1e-4, without decay: much too low for few steps of small networks.
    learning_rate: float = positive(default=2e-3)
    warmup: int = at_least(0, unit="steps", default=50)
    decay: Decay = Decay.cosine
    # The paper has 0.9 and 0.999, with which some networks are lost at high rates.
    betas: tuple[float, float] = between(0, 1, excluded=(1,), default=(0.9, 0.99))
    # The paper has none. The average hides the noise of the last steps.
    ema: float | None = between(0, 1, excluded=(0, 1), default=0.99, null="no average")
    target: Target = Target.residual  # paper: image
    # With the paper's, or with he, some networks start slowly by chance.
    initialization: Initialization = Initialization.identity
    zero_output: bool = True  # worth 1 to 2 dB after 400 steps
    precision: StepPrecision = StepPrecision.auto

    def __post_init__(self) -> None:
        if len(self.betas) != 2:
            raise UserError(f"training.betas is {list(self.betas)}: give two numbers")

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * self.steps_per_epoch


MODERN = TrainingSettings(
    epochs=400,
    batch_size=16,  # paper
    patch_size=48,
    warmup=200,
    ema=0.999,
    learning_rate=1e-3,
    betas=(0.9, 0.999),
    # It trains large plain networks and small ones: experiments/x2_291_train.
    initialization=Initialization.scaled_he,
)
"""The full training of ``training=modern``, as is usual today. The batch size is the paper's."""


@dataclass(frozen=True)
class RungSettings(Settings, group="rungs"):
    """Successive halving: networks are compared at rungs, and only the better ones train on.

    Off where both are empty.

    Attributes:
        epochs: epochs from the beginning of the training to each rung but the last, ascending. The
            last rung is at ``training.epochs``.
        keep: for each of them, the share of all networks that trains on after it.
    """

    epochs: tuple[int, ...] = ()
    keep: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.epochs) != len(self.keep):
            raise UserError(
                f"rungs.epochs is {list(self.epochs)}, rungs.keep {list(self.keep)}:"
                " give as many of each, e.g. rungs.epochs=[2,5] rungs.keep=[0.5,0.25]"
            )
        if any(after <= before for before, after in pairwise((0, *self.epochs))):
            raise UserError(f"rungs.epochs is {list(self.epochs)}: give ascending numbers from 1")
        if any(not 0 < after < before for before, after in pairwise((1.0, *self.keep))):
            raise UserError(
                f"rungs.keep is {list(self.keep)}: give descending shares between 0 and 1"
            )

    def check_before(self, epochs: int) -> None:
        """Raise UserError unless all rungs come before the end of a training of these epochs."""
        if self.epochs and self.epochs[-1] >= epochs:
            raise UserError(
                f"rungs.epochs is {list(self.epochs)}, training.epochs"
                f" {epochs}: all rungs but the last are before the training's end"
            )

    def counts(self, count: int) -> list[int]:
        """Return how many of ``count`` networks are trained on after each rung, at least 1."""
        return [max(1, round(share * count)) for share in self.keep]


@dataclass(frozen=True)
class TrainerSettings(Settings, group="trainer"):
    """Where a full training runs, and how often it is validated.

    These settings change the result only by rounding.

    Attributes:
        devices: GPUs, or processes on a CPU, that share each batch.
        accelerator: ``auto``, ``gpu`` or ``cpu``.
        validate_every: epochs between validations, and checkpoints: the most that a crash can cost.
    """

    devices: int = at_least(1, default=1)
    accelerator: str = one_of(("auto", "gpu", "cpu"), default="auto")
    validate_every: int = at_least(1, default=5)
