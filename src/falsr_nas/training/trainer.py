"""Lightning's Trainer without its logs, progress bar, checkpoints and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from falsr_nas.core.quiet import quiet


def plain_trainer(**options: Any) -> pl.Trainer:
    """Return a Trainer with these options that writes nothing: this package does that itself."""
    with quiet_lightning():  # it would report the devices of each of hundreds of candidates
        return pl.Trainer(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning in this block, except for errors."""
    with quiet("pytorch_lightning", "lightning_fabric"), warnings.catch_warnings():
        # It advises workers for a loader that reads nothing.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        yield


class SharedBatches(DDPStrategy):
    """Lightning's DDP strategy without its wrapper around the module.

    There is one process per device, with gloo between processors and NCCL between GPUs.
    ``DistributedDataParallel`` averages gradients once per forward pass; our training step takes
    many optimiser steps, so the engine averages them itself. Weights are not broadcast: every
    process begins with the same ones, from the same seed or checkpoint.
    """

    def configure_ddp(self) -> None:
        """Leave the module as it is."""
