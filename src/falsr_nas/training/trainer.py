"""Lightning's Trainer without its logs, progress bar, checkpoints and warnings."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.strategies import DDPStrategy

from falsr_nas.core.files import write_atomically
from falsr_nas.core.quiet import quiet
from falsr_nas.core.turns import working


def plain_trainer(**options: Any) -> pl.Trainer:
    """Return a Trainer with these options that writes nothing: this package does that itself."""
    with quiet_lightning():  # it would report the devices of each of hundreds of candidates
        return pl.Trainer(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[SyncedCheckpoints()],
            **options,
        )


class SyncedCheckpoints(TorchCheckpointIO):
    """Replaces a checkpoint at once, when the new one is on the disk.

    Lightning's own writes to the temporary folder, which may be too small, and does not wait for
    the disk, so that a power failure leaves an empty file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, *_: Any, **__: Any) -> None:
        """Write a checkpoint to a file. Raises UserError where it cannot be written."""
        content = io.BytesIO()  # torch.save reports no reason where a disk is full
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's notices and advice in this block, not its warnings and errors."""
    with quiet(*_LOGGERS, level=logging.WARNING), warnings.catch_warnings():
        _ignore_advice()
        yield


_LOGGERS = ("pytorch_lightning", "lightning_fabric")


def _ignore_advice() -> None:
    """Ignore warnings of what might be wrong, and those that are for Lightning's developers."""
    # For example, it advises workers for a loader that reads nothing.
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    for category in (FutureWarning, DeprecationWarning):
        for module in _LOGGERS:
            warnings.filterwarnings("ignore", category=category, module=module)


class TakesTurns(pl.Callback):
    """Lets other processes time networks between two calls of the training step, only then.

    It is entered before anything of the training is built, which is work, too.
    """

    def __enter__(self) -> Self:
        """Wait until no process times a network."""
        self._turn = ExitStack()
        self._turn.enter_context(working())
        return self

    def __exit__(self, *_: object) -> None:
        """Let processes time networks."""
        self._turn.close()

    def on_train_batch_end(self, *_: Any) -> None:
        """Let processes time networks that wait to do so."""
        self.__exit__()
        self.__enter__()


class SharedBatches(DDPStrategy):
    """Lightning's DDP strategy without its wrapper around the module.

    There is one process per device, with gloo between processors and NCCL between GPUs.
    ``DistributedDataParallel`` averages gradients once per forward pass; our training step takes
    many optimiser steps, so the engine averages them itself. Weights are not broadcast: every
    process begins with the same ones, from the same seed or checkpoint.
    """

    def configure_ddp(self) -> None:
        """Leave the module as it is."""


def shared_batches(devices: int) -> SharedBatches | str:
    """Return the strategy of one of ``devices`` processes that train a network together.

    Lightning launches no process where LOCAL_RANK is set, and keeps the process group for the next
    network.
    """
    return "auto" if devices == 1 else SharedBatches(cluster_environment=LightningEnvironment())
