"""Full training of a network (paper, VI-A), exactly resumable."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from falsr_nas.core.comparison import differences
from falsr_nas.core.errors import UserError
from falsr_nas.core.files import make_folder, write_atomically
from falsr_nas.core.running_time import RunningTime
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.networks.checkpoint import read_checkpoint
from falsr_nas.space.genome import Genome
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.module import SuperResolution
from falsr_nas.training.settings import TrainerSettings, TrainingSettings
from falsr_nas.training.strip import Strip, strip
from falsr_nas.training.trainer import plain_trainer, quiet_lightning, shared_batches


@dataclass(frozen=True)
class CurvePoint:
    """A point of the validation curve.

    Attributes:
        step: optimiser steps taken.
        psnr: on the validation images, in dB.
        seconds: spent on the training so far, earlier runs of it included.
        loss: mean L1 loss of the training steps since the validation before; None where an earlier
            version made the point.
        learning_rate: of the last of these steps.
    """

    step: int
    psnr: float
    seconds: float
    loss: float | None = None
    learning_rate: float | None = None


OnPoint = Callable[[CurvePoint, int, Strip], None]
"""Called at each validation, with the number of steps of the whole training, and images."""


class Milestones(pl.Callback):
    """Adds a point to the curve at each validation, then writes the curve and a checkpoint.

    After SIGUSR1 it also writes a checkpoint at the end of the epoch, if one process trains alone.
    It is no ModelCheckpoint, because the curve is part of the checkpoint, and the older one is kept
    where the new one cannot be written.
    """

    def __init__(self, folder: Path, every: int, on_point: OnPoint) -> None:
        self.curve: list[CurvePoint] = []
        self._folder = folder
        self._every = every
        self._on_point = on_point
        self._strip: Strip | None = None
        self._spent = 0.0
        self._clock = RunningTime()
        self._asked = False

    @property
    def state_key(self) -> str:
        """Name of the curve in a checkpoint."""
        return "Milestones"

    def state_dict(self) -> dict[str, Any]:
        """Return the curve for the checkpoint."""
        return {"curve": [list(astuple(point)) for point in self.curve]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the curve of a checkpoint."""
        self.curve = [CurvePoint(*point) for point in state_dict["curve"]]
        self._spent = self.curve[-1].seconds if self.curve else 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._clock = RunningTime()
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def on_validation_batch_end(  # noqa: PLR0917 - the signature is Lightning's
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep images of the first batch, whose outputs are (N, 1, sH, sW)."""
        if batch_idx == 0:
            low, high = batch
            self._strip = strip(low, outputs, high)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the point and save the state every ``every`` epochs, unless training diverged."""
        assert isinstance(pl_module, SuperResolution)
        if (trainer.current_epoch + 1) % self._every:
            if self._asked and not pl_module.diverged:
                trainer.save_checkpoint(self._folder / "last.ckpt")
            self._asked = False
            return
        if pl_module.diverged or math.isnan(pl_module.psnr):
            return
        seconds = self._spent + self._clock()
        step, rate = pl_module.position, pl_module.learning_rate
        self.curve.append(CurvePoint(step, pl_module.psnr, seconds, pl_module.mean_loss(), rate))
        if trainer.is_global_zero:
            _write_curve(self._folder / "curve.csv", self.curve)
        # Last: a training is complete when its checkpoint is. By every process: some strategies
        # gather.
        trainer.save_checkpoint(self._folder / "last.ckpt")
        if trainer.is_global_zero:
            assert self._strip is not None, "a validation came before"
            self._on_point(self.curve[-1], pl_module.settings.steps, self._strip)


def train_fully(
    genome: Genome,
    settings: TrainingSettings,
    data: SuperResolutionData,
    *,
    trainer_settings: TrainerSettings,
    seed: int,
    folder: Path,
    on_point: OnPoint,
    start: Mapping[str, Tensor] | None = None,
    epochs: int | None = None,
    rungs: Sequence[int] = (),
) -> list[CurvePoint]:
    """Train a network, continuing from ``last.ckpt`` in its folder.

    The folder gets ``last.ckpt`` and ``curve.csv`` at each validation. The final checkpoint is that
    of a training that was never stopped, here or at a rung.

    Args:
        genome: the network.
        settings: the recipe.
        data: the images.
        trainer_settings: devices, and how often to validate and to save the state.
        seed: of weights and patches.
        folder: where ``last.ckpt`` lies.
        on_point: called at each validation, by the process of rank 0.
        start: weights by name that the training starts with; the others are initialized.
        epochs: how far to train, one of ``rungs``; None for the whole recipe.
        rungs: epochs that are validated beside those of ``trainer_settings``.

    Returns:
        The validation curve, which is longer where the network was trained further before.

    Raises:
        UserError: the loss became NaN or infinite, there are no such devices, a batch cannot be
            shared by them, a file cannot be written, or ``last.ckpt`` is not a checkpoint of this
            training.
    """
    epochs = settings.epochs if epochs is None else epochs
    make_folder(folder)
    # Reports mistakes before any process is started.
    data.batches(torch.Generator(), 0, trainer_settings.devices)
    network = initialized_network(genome, settings.initialization, settings.zero_output, seed)
    network.load_state_dict(start or {}, strict=False)
    module = SuperResolution(network, settings, data, seed)
    checkpoint = folder / "last.ckpt"
    last = checkpoint if checkpoint.exists() else None
    if last is not None:
        done = _resumable_curve(last, module)
        if done and done[-1].step >= epochs * settings.steps_per_epoch:
            return done
    # So that the last epoch is validated, and that of each rung.
    every = math.gcd(settings.epochs, trainer_settings.validate_every, *rungs)
    try:
        trainer = plain_trainer(
            max_epochs=epochs,
            check_val_every_n_epoch=every,
            accelerator=trainer_settings.accelerator,
            devices=trainer_settings.devices,
            strategy=shared_batches(trainer_settings.devices),
            num_sanity_val_steps=0,
            callbacks=[Milestones(folder, every, on_point)],
        )
    except MisconfigurationException as error:
        raise UserError(
            f"trainer.accelerator={trainer_settings.accelerator}"
            f" trainer.devices={trainer_settings.devices}: {error}"
        ) from error
    with quiet_lightning():
        trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
    curve = stored_curve(checkpoint)
    if not curve or curve[-1].step < epochs * settings.steps_per_epoch:
        since = f"after step {curve[-1].step}" if curve else "before the first validation"
        raise UserError(
            f"{folder}: the loss became NaN or infinite {since}: use a lower"
            " training.learning_rate or a longer warm-up, and another output"
        )
    return curve


def psnr_at(curve: Sequence[CurvePoint], step: int) -> float | None:
    """Return the PSNR in dB that a curve has at a step; None if it was not validated there."""
    return next((point.psnr for point in curve if point.step == step), None)


def _write_curve(path: Path, curve: Sequence[CurvePoint]) -> None:
    def text(number: float | None) -> str:
        return "" if number is None else f"{number:.6g}"

    lines = [
        f"{point.step},{point.psnr:.4f},{text(point.loss)},{text(point.learning_rate)},"
        f"{point.seconds:.1f}"
        for point in curve
    ]
    header = "step,psnr,loss,learning_rate,seconds"
    write_atomically(path, ("\n".join([header, *lines]) + "\n").encode())


def stored_curve(checkpoint: Path) -> list[CurvePoint]:
    """Read the validation curve of a checkpoint; empty where there is none.

    Raises:
        UserError: the checkpoint cannot be read, or a full training did not write it.
    """
    return _curve(checkpoint, read_checkpoint(checkpoint)) if checkpoint.exists() else []


def _resumable_curve(checkpoint: Path, module: pl.LightningModule) -> list[CurvePoint]:
    """Return the curve of a checkpoint, or raise UserError if another training wrote it."""
    content = read_checkpoint(checkpoint)
    curve = _curve(checkpoint, content)
    state, training = content.get("state_dict"), content.get("training")
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if (
        not isinstance(state, dict)
        or {name: getattr(tensor, "shape", None) for name, tensor in state.items()} != expected
        or not isinstance(training, dict)
        or not training.keys() >= {"position", "generator"}
        or not content.get("optimizer_states")
    ):
        raise _not_of_this_training(checkpoint)
    return curve


def _curve(checkpoint: Path, content: dict[str, Any]) -> list[CurvePoint]:
    try:
        return [CurvePoint(*point) for point in content["callbacks"]["Milestones"]["curve"]]
    except (KeyError, TypeError):
        raise _not_of_this_training(checkpoint) from None


def _not_of_this_training(checkpoint: Path) -> UserError:
    return UserError(
        f"{checkpoint}: not a checkpoint of this training. Delete it to train from the start, or"
        " give another output"
    )


def keep_recipe(folder: Path, recipe: dict[str, Any], ignored: Collection[str] = ()) -> None:
    """Write a training's settings into its folder, or compare them with those that are there.

    Those that are ignored may differ.

    Raises:
        UserError: the folder holds a training with other settings; the message names them.
    """
    path = folder / "recipe.json"
    if path.exists():
        try:
            stored = dict(json.loads(path.read_text()))
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"{path}: damaged. Give another output") from None
        if differs := differences(stored, json.loads(json.dumps(recipe)), ignored):
            raise UserError(
                f"{folder} holds a training with other settings: {differs}. Give another output"
            )
        return
    write_atomically(path, (json.dumps(recipe, indent=2, sort_keys=True) + "\n").encode())
