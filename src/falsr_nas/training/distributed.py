"""Several processes that train one network, each on its part of every batch."""

from __future__ import annotations

from pytorch_lightning.strategies import DDPStrategy


class SharedBatches(DDPStrategy):
    """Lightning's DDP without its wrapper around the module: a process a device, gloo between processors, NCCL between GPUs.

    ``DistributedDataParallel`` averages gradients once a forward pass. A training step of ours takes many optimiser steps, so the engine
    averages them itself. The weights are not sent around either: every process begins with the same ones, from the same seed or
    checkpoint.
    """

    def configure_ddp(self) -> None:
        """Leave the module as it is."""
