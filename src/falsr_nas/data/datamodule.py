"""A LightningDataModule whose images are decoded once and shared by all trainings of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from falsr_nas.data.errors import DataError
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.patches import PatchPool
from falsr_nas.data.refreshing import Refresher
from falsr_nas.data.settings import DataSettings, DegradationSettings, PhotoDegradation
from falsr_nas.data.sources import find_images
from falsr_nas.data.validation import load_validation, validation_batches

VAL_PIXELS = 2**16
"""LR pixels in a validation batch: a few hundred MB of activations at most; our choice."""

T = TypeVar("T")


class Loader(Generic[T]):
    """A loader that yields items in their order.

    Lightning treats a list as several loaders, and distributes the items of a DataLoader among the
    processes of DDP.
    """

    def __init__(self, items: Sequence[T]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)


class SuperResolutionData(pl.LightningDataModule):
    """Training patches and validation images of one data source.

    One instance can serve any number of Trainers, one after the other. To Lightning, a training
    "batch" is a number of optimiser steps: the training step draws that many batches from
    :meth:`batches` itself, so that no worker process and no Lightning loop runs between steps.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        batch_size: int,
        patch_size: int,
        steps_per_epoch: int,
        steps_per_call: int = 25,
        scale: int = 2,
        degradation: DegradationSettings | None = None,
    ) -> None:
        """Store the settings; images are read by :meth:`setup`.

        Args:
            settings: where the images come from.
            batch_size: patches in a training batch.
            patch_size: LR side of the training patches; smaller images are an error.
            steps_per_epoch: optimiser steps in an epoch.
            steps_per_call: optimiser steps in one call of the training step; the last call of an
                epoch may have fewer.
            scale: size of the HR images in LR images.
            degradation: how LR images are made; None for the benchmarks' degradation.

        Raises:
            DataError: a number is below 1.
        """
        super().__init__()
        self.settings, self.scale = settings, scale
        self.degradation = degradation
        self.batch_size, self.patch_size = batch_size, patch_size
        self.steps_per_epoch, self.steps_per_call = steps_per_epoch, steps_per_call
        for name in ("batch_size", "patch_size", "steps_per_epoch", "steps_per_call"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be at least 1")
        self._pools: dict[torch.device, PatchPool] = {}
        self._val_batches: list[tuple[Tensor, Tensor]] = []
        self._refreshers: dict[torch.device, Refresher] = {}

    def setup(self, stage: str | None = None) -> None:
        """Decode the images; only the first call does.

        Raises:
            DataError: images are missing or cannot be used.
        """
        if self._pools:
            return
        # Validation images first, because errors in them are found sooner. They are scored without
        # patches, so their minimum size does not depend on the patch size.
        val = load_validation(self.settings, self.scale, self.degradation)
        self._val_batches = validation_batches(val, VAL_PIXELS)
        files, on_error = find_images(self.settings, self.scale).train, self.settings.on_error
        train = load_pairs(files, self.patch_size, on_error=on_error, scale=self.scale)
        self._pools[torch.device("cpu")] = PatchPool.pack(train)

    def pool(self, device: torch.device | str = "cpu") -> PatchPool:
        """Return the training images on a device; they are copied there by the first call.

        Raises:
            DataError: images are missing or cannot be used.
        """
        self.setup()
        device = torch.empty(0, device=device).device  # with its index: cuda becomes cuda:0
        if device not in self._pools:
            self._pools[device] = self._pools[torch.device("cpu")].to(device)
        return self._pools[device]

    def begin_epoch(self, epoch: int, seed: int, device: torch.device | str = "cpu") -> None:
        """Degrade the training images on a device as in an epoch, counted from 0, of a training.

        The benchmarks' degradation is always the same: there is nothing to do.
        """
        if not isinstance(self.degradation, PhotoDegradation):
            return
        pool = self.pool(device)
        if pool.device not in self._refreshers:
            images = self._pools[torch.device("cpu")]
            self._refreshers[pool.device] = Refresher(images, pool, self.scale, self.degradation)
        self._refreshers[pool.device].begin(epoch, seed)

    def batches(
        self, generator: torch.Generator, rank: int = 0, processes: int = 1
    ) -> Callable[[], tuple[Tensor, Tensor]]:
        """Return a function that draws the next training batch, on the generator's device.

        The function returns what :meth:`PatchPool.sample` does. Processes with generators of equal
        state each draw their part of the batch that a single process would draw.

        Args:
            generator: draws the patches.
            rank: index of this process, from 0.
            processes: number of processes that share each batch.

        Raises:
            DataError: the batch cannot be shared evenly.
        """
        if self.batch_size % processes:
            raise DataError(
                f"a batch of {self.batch_size} patches cannot be shared by {processes} devices: "
                f"batch_size must be a multiple of {processes}"
            )
        pool = self.pool(generator.device)
        return lambda: pool.cut(
            pool.draw(self.batch_size, generator)[:, rank::processes], self.patch_size
        )

    def train_dataloader(self) -> Loader[int]:
        """Return the number of optimiser steps of each call; the sum is ``steps_per_epoch``."""
        calls, rest = divmod(self.steps_per_epoch, self.steps_per_call)
        return Loader([self.steps_per_call] * calls + [rest] * bool(rest))

    def val_dataloader(self) -> Loader[tuple[Tensor, Tensor]]:
        """Return the validation batches: LR luma (N, 1, h, w) and HR luma (N, 1, sh, sw).

        Luma is float32 in [0, 1].
        """
        self.setup()
        return Loader(self._val_batches)
