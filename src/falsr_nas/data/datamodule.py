"""Images for Lightning: decoded once, used by every candidate that the process trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from falsr_nas.data.errors import DataError
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.patches import PatchPool
from falsr_nas.data.settings import LEAST_CROP, DataSettings
from falsr_nas.data.sources import find_images
from falsr_nas.data.validation import ValidationSet

VAL_PIXELS = (
    2**16
)  # LR pixels in a validation batch: activations of a few hundred MB at most (our choice)

T = TypeVar("T")


class Loader(Generic[T]):
    """Items in their order, as one loader: Lightning takes a bare list for several, and shares a DataLoader out among DDP's processes."""

    def __init__(self, items: Sequence[T]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)


class SuperResolutionData(pl.LightningDataModule):
    """Training patches and validation images of one data setting.

    Build it once and give it to one Trainer after the other. A training "batch" is a number of
    optimiser steps: the training step takes that many from :meth:`batches` by itself, so that
    neither workers nor Lightning's loop stand between steps.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        batch_size: int,
        patch_size: int,
        steps_per_epoch: int,
        steps_per_call: int = 25,
        val_pixels: int = VAL_PIXELS,
    ) -> None:
        """Nothing is read before :meth:`setup`.

        Args:
            settings: where the images come from.
            batch_size: patches in a training batch.
            patch_size: LR side of the training patches; smaller images are an error.
            steps_per_epoch: optimiser steps in an epoch.
            steps_per_call: optimiser steps in one call of the training step; the last call of an
                epoch may have fewer.
            val_pixels: LR pixels that a validation batch may hold.

        Raises:
            DataError: when a number is below 1.
        """
        super().__init__()
        self.settings = settings
        self.batch_size, self.patch_size = batch_size, patch_size
        self.steps_per_epoch, self.steps_per_call, self.val_pixels = (
            steps_per_epoch,
            steps_per_call,
            val_pixels,
        )
        for name in ("batch_size", "patch_size", "steps_per_epoch", "steps_per_call", "val_pixels"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: give 1 or more")
        self._pools: dict[torch.device, PatchPool] = {}
        self._val_batches: list[tuple[Tensor, Tensor]] = []

    def setup(self, stage: str | None = None) -> None:
        """Decode the images, the first time; later calls do nothing.

        Raises:
            DataError: when images are missing or cannot be used.
        """
        if self._pools:
            return
        files = find_images(self.settings)
        # Validation first: it is the quicker one to fail. Whole images are scored, so any size
        # that a network can take will do.
        val = load_pairs(files.val, LEAST_CROP // 2, self.settings.val_crop, self.settings.on_error)
        self._val_batches = ValidationSet.of(val).batches(self.val_pixels)
        train = load_pairs(files.train, self.patch_size, on_error=self.settings.on_error)
        self._pools[torch.device("cpu")] = PatchPool.pack(train)

    def pool(self, device: torch.device | str = "cpu") -> PatchPool:
        """The training images on a device, copied there once. Decodes them where :meth:`setup` has not."""
        self.setup()
        device = torch.empty(
            0, device=device
        ).device  # with its index, so that cuda and cuda:0 are one
        if device not in self._pools:
            self._pools[device] = self._pools[torch.device("cpu")].to(device)
        return self._pools[device]

    def batches(
        self, generator: torch.Generator, rank: int = 0, processes: int = 1
    ) -> Callable[[], tuple[Tensor, Tensor]]:
        """What draws the next training batch, see :meth:`PatchPool.sample`, on the generator's device.

        Processes that share a batch each get their part of what one process alone would draw,
        given generators of equal state.

        Args:
            generator: draws the patches.
            rank: which of the processes this is, from 0.
            processes: how many share each batch.

        Raises:
            DataError: when the batch cannot be shared evenly.
        """
        if self.batch_size % processes:
            raise DataError(
                f"a batch of {self.batch_size} patches cannot be shared by {processes} devices: give a multiple of {processes}"
            )
        pool = self.pool(generator.device)
        return lambda: pool.cut(
            pool.draw(self.batch_size, generator)[:, rank::processes], self.patch_size
        )

    def train_dataloader(self) -> Loader[int]:
        """Optimiser steps for each call of the training step; they sum to ``steps_per_epoch``."""
        calls, rest = divmod(self.steps_per_epoch, self.steps_per_call)
        return Loader([self.steps_per_call] * calls + [rest] * bool(rest))

    def val_dataloader(self) -> Loader[tuple[Tensor, Tensor]]:
        """Validation batches of LR luma (N, 1, h, w) and HR luma (N, 1, 2h, 2w), float32 in [0, 1]."""
        self.setup()
        return Loader(self._val_batches)
