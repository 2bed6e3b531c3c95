"""A network in training, as Lightning sees it."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor

from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.space.genome import SCALE
from falsr_nas.training.engine import Batches, StepEngine, step_dtype
from falsr_nas.training.settings import Target, TrainingSettings

STUDIO_RANGE = 219.0
"""8-bit levels between black and white of the luma in which super-resolution is scored (ITU-R BT.601)."""

SHAVE = SCALE
"""High-resolution border pixels that scores leave out."""


class SuperResolution(pl.LightningModule):
    """Trains a network on luma patches; validates on whole luma planes.

    Optimisation is manual: one ``training_step`` runs as many optimiser steps as its batch says, so that the per-step cost of the
    trainer does not weigh on networks whose step takes a millisecond.

    Attributes:
        network: what is trained.
        upscaler: the network, with the interpolation that it adds to where the target is the residual.
        mse: after validation: mean over the images of the mean squared error in 8-bit levels, borders shaved.
        diverged: whether the loss stopped being a number; training has then stopped.
    """

    def __init__(self, network: Network, settings: TrainingSettings, batches: Batches) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.upscaler = BilinearResidual(network) if settings.target is Target.residual else network
        self.settings = settings
        self.diverged = False
        self.mse = float("nan")
        self._batches = batches
        self._errors: list[Tensor] = []

    def forward(self, low: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2H, 2W), luma in [0, 1], not clipped."""
        return self.upscaler(low)  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate (paper, VI-A)."""
        return torch.optim.Adam(self.network.parameters(), lr=self.settings.rate, betas=self.settings.betas, fused=True)

    def on_fit_start(self) -> None:
        """Build the engine on the device that the trainer chose."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        self._engine = StepEngine(self, optimizer, self._batches, step_dtype(self.settings.precision, self.device))

    def training_step(self, steps: int, batch_index: int) -> None:
        """Take ``steps`` optimiser steps; stop the training when the loss is no number any more."""
        loss = self._engine.run(steps)
        if not torch.isfinite(loss):
            self.diverged = True
            self.trainer.should_stop = True

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Squared errors of a batch of planes, low (N, 1, H, W) and high (N, 1, 2H, 2W)."""
        low, high = batch
        error = (self(low).clamp(0, 1) - high)[..., SHAVE:-SHAVE, SHAVE:-SHAVE] * STUDIO_RANGE
        self._errors.append(error.square().mean(dim=(1, 2, 3)))

    def on_validation_epoch_end(self) -> None:
        """Average over the images."""
        self.mse = float(torch.cat(self._errors).double().mean())
        self._errors.clear()
