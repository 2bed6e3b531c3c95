"""The Lightning module that trains a network."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from falsr_nas.benchmark.metrics import LumaMSE
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.levels import psnr_from_mse
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.cell import from_plugins
from falsr_nas.training.engine import Batches, StepEngine, exact_cudnn, step_dtype
from falsr_nas.training.schedule import average_shares, learning_rates
from falsr_nas.training.settings import Target, TrainingSettings


class SuperResolution(pl.LightningModule):
    """Trains a network on luma patches; validates on whole luma planes.

    Optimisation is manual: one ``training_step`` runs as many optimiser steps as its batch says,
    because the trainer's cost per step would matter for networks whose step takes a millisecond. A
    checkpoint holds all that an exact resume needs.

    Attributes:
        network: the network that is trained.
        average: the moving average of its weights, where the settings ask for one.
        mse: after validation, the mean over the images of the mean squared error in 8-bit levels,
            borders shaved.
        diverged: whether the loss became NaN or infinite; training has then stopped.
    """

    def __init__(
        self, network: Network, settings: TrainingSettings, data: SuperResolutionData, seed: int
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = settings.ema is not None
        self.average = copy.deepcopy(network).requires_grad_(False) if averaged else None
        self.settings = settings
        self.diverged = False
        self.mse = float("nan")
        self._losses: list[tuple[int, float]] = []
        self._data = data
        self._seed = seed
        self._resumed: dict[str, Any] | None = None
        # Every process validates all images, so there is nothing to sum over processes.
        self._error = LumaMSE(network.scale, sync_on_compute=False)
        # With these a checkpoint can be read without this project's settings.
        self.hparams.update({"genome": network.genome.to_json(), "target": settings.target.value})
        if plugins := from_plugins(network.genome.cells):
            self.hparams.update({"plugins": plugins})

    @property
    def trained(self) -> Network:
        """The network with the weights that are validated: averaged ones, where there are any."""
        return self.network if self.average is None else self.average

    @property
    def upscaler(self) -> SuperResolver:
        """The trained network: luma (N, 1, H, W) -> (N, 1, sH, sW) in [0, 1], not clipped."""
        network, residual = self.trained, self.settings.target is Target.residual
        return BilinearResidual(network) if residual else network

    @property
    def psnr(self) -> float:
        """PSNR in dB after validation; NaN where the error is not finite."""
        return psnr_from_mse(self.mse) if math.isfinite(self.mse) else math.nan

    @property
    def position(self) -> int:
        """Optimiser steps taken so far."""
        return int(self._engine.position)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last step."""
        return float(self._rates[max(0, self.position - 1)])

    def mean_loss(self) -> float | None:
        """Return the mean L1 loss per step since the last call; None where there was no step."""
        steps = sum(steps for steps, _ in self._losses)
        total = sum(steps * loss for steps, loss in self._losses)
        self._losses.clear()
        return total / steps if steps else None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (paper, VI-A); the engine sets its rate step by step."""
        return torch.optim.Adam(
            self.network.parameters(),
            lr=torch.tensor(self.settings.learning_rate, device=self.device),
            betas=self.settings.betas,
            fused=True,
            capturable=self.device.type == "cuda",
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the position and the state of the random generator."""
        checkpoint["training"] = {
            "position": self.position,
            "generator": self._generator.get_state(),
            "losses": self._losses,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the position; :meth:`on_train_start` restores it on the right device."""
        self._resumed = checkpoint["training"]

    def on_fit_start(self) -> None:
        """Build the engine on the device that the trainer chose."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Adam)
        processes, rank = self.trainer.world_size, self.trainer.global_rank
        self._generator = torch.Generator(self.device).manual_seed(self._seed)
        average: tuple[list[Tensor], Tensor] | None = None
        if self.average is not None:
            shares = average_shares(self.settings).to(self.device)
            average = list(self.average.parameters()), shares
        self._rates = learning_rates(self.settings)
        batches = self._data.batches(self._generator, rank, processes)
        if self.settings.target is Target.residual:
            batches = residual_batches(batches, self.network.scale)
        self._engine = StepEngine(
            self.network,
            optimizer,
            self._rates.to(self.device),
            batches,
            step_dtype(self.settings.precision, self.device),
            average=average,
            generator=self._generator,
            processes=processes,
        )

    def on_train_start(self) -> None:
        """Continue from a checkpoint, which Lightning has loaded by now.

        On another kind of device than before, the patches that follow are other ones: a random
        generator of a GPU cannot continue one of a CPU.
        """
        if self._resumed is None:
            return
        position, state = self._resumed["position"], self._resumed["generator"]
        self._losses = [*self._resumed.get("losses", ())]
        self._engine.go_on_from(position)
        if state.numel() == self._generator.get_state().numel():
            self._generator.set_state(state)
        else:
            warnings.warn(
                "the training began on another kind of device: its next patches are not those"
                " that it would have drawn there",
                stacklevel=1,  # so that it names this module, not Lightning's
            )
            self._generator.manual_seed(self._seed + position)

    def on_train_epoch_start(self) -> None:
        """Degrade the training images as in this epoch."""
        self._data.begin_epoch(self.current_epoch, self._seed, self.device)

    def training_step(self, steps: int, batch_index: int) -> None:
        """Take ``steps`` optimiser steps; stop the training when the loss is not finite.

        Logs ``loss``, the mean over these steps, and ``learning_rate``.
        """
        loss = float(self._engine.run(steps))
        # So that the trainer's global_step counts optimiser steps, for loggers and ModelCheckpoint.
        loop = self.trainer.fit_loop.epoch_loop.manual_optimization
        loop.optim_step_progress.increment_by(steps)
        if not math.isfinite(loss):
            self.diverged = True
            self.trainer.should_stop = True
            return
        self._losses.append((steps, loss))
        self.log_dict({"loss": loss, "learning_rate": self.learning_rate, "step": self._x})

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Add the errors of a batch of planes, low (N, 1, H, W) and high (N, 1, sH, sW).

        Returns the upscaled planes (N, 1, sH, sW), not clipped.
        """
        low, high = batch
        with exact_cudnn(allow_tf32=False):
            output: Tensor = self.upscaler(low)
        self._error.update(output, high)
        return output

    def on_validation_epoch_end(self) -> None:
        """Average over the images, and log ``psnr`` in dB."""
        self.mse = float(self._error.compute())
        self._error.reset()
        self.log_dict({"psnr": self.psnr, "step": self._x})

    @property
    def _x(self) -> float:
        """Where loggers put a metric: at the optimiser step, not at the number of batches."""
        return float(self.trainer.global_step)


def residual_batches(batches: Batches, scale: int) -> Batches:
    """Return what draws the same patches, less their bilinear interpolation in the second tensor.

    So interpolation needs no gradients. As a product of small matrices, it takes a third of the
    time that PyTorch's takes on patches.
    """
    matrix: Tensor | None = None  # (s P, P)

    def draw() -> tuple[Tensor, Tensor]:
        nonlocal matrix
        low, high = batches()
        if matrix is None:
            lines = torch.eye(low.shape[-1], device=low.device).unsqueeze(0)
            matrix = interpolate(lines, scale_factor=scale, mode="linear")[0].t().contiguous()
        return low, high - matrix @ low @ matrix.t()

    return draw
