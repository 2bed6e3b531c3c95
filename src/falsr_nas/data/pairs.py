"""Pairs of LR and HR images, decoded once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from falsr_nas.data.degradation import crop_even, downscale
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import read_image
from falsr_nas.data.sources import ImageFile

log = logging.getLogger(__name__)

DECODERS = 8  # threads at most; Pillow decodes outside Python's lock


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One image at two sizes.

    Attributes:
        path: the HR file.
        lr: (3, h, w) uint8 RGB.
        hr: (3, 2h, 2w) uint8 RGB.
    """

    path: Path
    lr: Tensor
    hr: Tensor


def load_pairs(
    files: Sequence[ImageFile], least: int, crop: int = 0, on_error: str = "stop"
) -> list[Pair]:
    """Decode images, in the order of ``files``; LR is read where it has a file and made by the degradation where not.

    Args:
        files: what to read.
        least: LR pixels that each side must have, e.g. the patch.
        crop: HR side of the centre crop to keep, even; 0 keeps whole images. A shorter side is
            kept whole.
        on_error: ``skip`` leaves out what cannot be used, with a warning that names it; ``stop``
            raises.

    Raises:
        DataError: when an image cannot be used, or none is left.
    """
    pairs = []
    for decoded in _decode(files):
        try:
            pairs.append(_centre(_pair(*decoded, least), crop))
        except DataError as error:
            if on_error != "skip":
                raise
            log.warning("skipped: %s", error)
    if not pairs:
        raise DataError(f"none of the {len(files)} images can be used")
    return pairs


def _decode(
    files: Sequence[ImageFile],
) -> Iterator[tuple[ImageFile, Tensor | DataError, Tensor | DataError | None]]:
    """Each file with its HR and LR images, or what was wrong with them; threads read ahead."""
    threads = ThreadPoolExecutor(min(DECODERS, os.cpu_count() or 1))
    try:
        yield from threads.map(lambda file: (file, _try(file.hr), file.lr and _try(file.lr)), files)
    finally:
        threads.shutdown(cancel_futures=True)


def _try(path: Path) -> Tensor | DataError:
    try:
        return read_image(path)
    except DataError as error:
        return error


def _pair(
    file: ImageFile, hr: Tensor | DataError, lr: Tensor | DataError | None, least: int
) -> Pair:
    if isinstance(hr, DataError):
        raise hr
    if isinstance(lr, DataError):
        raise lr
    height, width = hr.shape[1:]
    if min(height, width) < 2 * least:
        raise DataError(
            f"image {file.hr} is {width}x{height}: a patch of {least} LR pixels needs {2 * least}x{2 * least}"
        )
    hr = crop_even(hr)
    if lr is None:
        return Pair(file.hr, downscale(hr), hr)
    if (lr.shape[1] * 2, lr.shape[2] * 2) != tuple(hr.shape[1:]):
        raise DataError(
            f"image {file.lr} is {lr.shape[2]}x{lr.shape[1]}: not half of the {width}x{height} of {file.hr}"
        )
    return Pair(file.hr, lr, hr)


def _centre(pair: Pair, crop: int) -> Pair:
    """The centre of both images, cut at the same place; copied, so that the rest is freed."""
    if not crop:
        return pair
    height, width = (min(crop // 2, side) for side in pair.lr.shape[1:])
    top, left = (pair.lr.shape[1] - height) // 2, (pair.lr.shape[2] - width) // 2
    lr = pair.lr[:, top : top + height, left : left + width]
    hr = pair.hr[:, 2 * top : 2 * (top + height), 2 * left : 2 * (left + width)]
    return Pair(pair.path, lr.clone(), hr.clone())
