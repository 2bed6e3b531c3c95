"""Training of one network by several processes, each on its part of every batch."""

from __future__ import annotations

from pytorch_lightning.strategies import DDPStrategy


class SharedBatches(DDPStrategy):
    """Lightning's DDP strategy without its wrapper around the module.

    There is one process per device, with gloo between processors and NCCL between GPUs.
    ``DistributedDataParallel`` averages gradients once per forward pass; our training step takes
    many optimiser steps, so the engine averages them itself. Weights are not broadcast: every
    process begins with the same ones, from the same seed or checkpoint.
    """

    def configure_ddp(self) -> None:
        """Leave the module as it is."""
