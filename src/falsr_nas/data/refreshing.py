"""Degrades training images anew from epoch to epoch, one epoch ahead of the training."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from falsr_nas.core.processor import usable_cores
from falsr_nas.data.degradations import degrade_photo
from falsr_nas.data.patches import PatchPool
from falsr_nas.data.settings import PhotoDegradation

MAX_THREADS = 8  # Pillow releases the global interpreter lock

Version = tuple[int, int, int]
"""What determines the LR image of an HR image: the training's seed, the image and its turn."""


class Refresher:
    """Keeps the LR images of a pool those of an epoch.

    An LR image depends on the seed, the image and the epoch alone, so that a training that is
    resumed has the same images.

    Args:
        images: the pool on the CPU, whose HR images are read.
        pool: the pool whose LR images are replaced, on any device.
        scale: of the HR images.
        settings: how images are degraded, and how often.
    """

    def __init__(
        self, images: PatchPool, pool: PatchPool, scale: int, settings: PhotoDegradation
    ) -> None:
        self._images, self._pool, self._scale, self._settings = images, pool, scale, settings
        self._versions: list[Version | None] = [None] * len(pool)
        self._thread = ThreadPoolExecutor(1)
        self._ahead: tuple[int, int, Future[list[tuple[Version, Tensor]]]] | None = None

    def begin(self, epoch: int, seed: int) -> None:
        """Replace the LR images that change with an epoch, counted from 0, of a training."""
        ready = self._ahead[2].result() if self._ahead else []
        if self._ahead is None or self._ahead[:2] != (epoch, seed):
            with ThreadPoolExecutor(min(MAX_THREADS, usable_cores())) as threads:
                ready = list(threads.map(self._degraded, self._due(epoch, seed)))
        for version, lr in ready:
            self._pool.replace(version[1], lr)
            self._versions[version[1]] = version
        due = self._due(epoch + 1, seed)
        future = self._thread.submit(lambda: [self._degraded(version) for version in due])
        self._ahead = epoch + 1, seed, future

    def _due(self, epoch: int, seed: int) -> list[Version]:
        """Return the versions of the images that are not yet those of an epoch."""
        period = self._settings.period
        turns: Iterable[int] = (
            0 if period is None else (epoch + i) // period for i in range(len(self._versions))
        )
        wanted = [(seed, i, turn) for i, turn in enumerate(turns)]
        return [new for new, old in zip(wanted, self._versions, strict=True) if new != old]

    def _degraded(self, version: Version) -> tuple[Version, Tensor]:
        hr = self._images.hr_image(version[1])
        return version, degrade_photo(hr, self._scale, self._settings, version)
