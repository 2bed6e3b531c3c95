"""Pairs of LR and HR images, decoded once."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from torch import Tensor

from falsr_nas.core.processor import usable_cores
from falsr_nas.data.degradation import downscale, modcrop
from falsr_nas.data.degradations import Degrade, degradation_named
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import read_image
from falsr_nas.data.sources import ImageFile

log = logging.getLogger(__name__)

OTHER_FACTORS = (2, 3, 4, 8)
"""Factors of the LR images that benchmark sets come with."""

MAX_THREADS = 8  # that decode; Pillow releases the global interpreter lock


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One image at two sizes.

    Attributes:
        path: the HR file.
        lr: (3, h, w) uint8 RGB.
        hr: (3, sh, sw) uint8 RGB; s is the scale.
    """

    path: Path
    lr: Tensor
    hr: Tensor


def load_pairs(
    files: Sequence[ImageFile],
    min_side: int,
    crop: int = 0,
    on_error: str = "stop",
    *,
    scale: int = 2,
    degrade: Degrade | None = None,
) -> list[Pair]:
    """Decode images, in the order of ``files``.

    LR images without a file are made by the degradation, and so are those whose file is that of
    another scale: benchmark sets have LR images for one scale only.

    Args:
        files: the files to read.
        min_side: LR pixels that each side must have, e.g. the patch size.
        crop: HR side of the centre crop to keep, rounded down to a multiple of ``scale``; 0 keeps
            whole images. A shorter side is kept whole.
        on_error: ``skip`` leaves out images that cannot be used, with a warning that names them;
            ``stop`` raises.
        scale: size of the HR images in LR images. Sides of HR images that are no multiples of it
            lose their last rows or columns.
        degrade: makes the LR images of all; None for the degradation of each file.

    Raises:
        DataError: an image cannot be used, or none is left.
    """
    pairs = []
    threads = ThreadPoolExecutor(min(MAX_THREADS, usable_cores()))  # they read ahead
    try:
        decoded = deque(threads.submit(_decode, file) for file in files)
        for file in files:
            try:
                pair = _pair(file, *decoded.popleft().result(), min_side, scale)
                if change := degrade or degradation_named(file.degradation):
                    # By its name, so that an image is degraded alike among other images.
                    lr = change(pair.hr, pair.lr, crc32(os.fsencode(file.hr.name)))
                    pair = replace(pair, lr=lr)
                pairs.append(_centre(pair, crop, scale))
            except DataError as error:
                if on_error != "skip":
                    raise
                log.warning("skipped: %s", error)
    finally:
        threads.shutdown(cancel_futures=True)
    if not pairs:
        raise DataError(f"none of the {len(files)} images can be used")
    return pairs


def _decode(file: ImageFile) -> tuple[Tensor, Tensor | None]:
    """Return the HR image and the LR image, if it has a file."""
    return read_image(file.hr), None if file.lr is None else read_image(file.lr)


def _pair(file: ImageFile, hr: Tensor, lr: Tensor | None, min_side: int, scale: int) -> Pair:
    height, width = hr.shape[1:]
    if min(height, width) < (least := scale * min_side):
        raise DataError(
            f"image {file.hr} is {width}x{height}: it needs at least {least}x{least} "
            f"pixels ({min_side}x{min_side} at low resolution)"
        )
    hr = modcrop(hr, scale)
    if lr is None or any(
        tuple(lr.shape[1:]) == (height // other, width // other)
        for other in OTHER_FACTORS
        if other != scale
    ):
        return Pair(file.hr, downscale(hr, scale), hr)
    if (lr.shape[1] * scale, lr.shape[2] * scale) != tuple(hr.shape[1:]):
        raise DataError(
            f"image {file.lr} is {lr.shape[2]}x{lr.shape[1]}: "
            f"it must be {file.hr}, which is {width}x{height}, divided by {scale}"
        )
    return Pair(file.hr, lr, hr)


def _centre(pair: Pair, crop: int, scale: int) -> Pair:
    """Crop both images to their centre; copies, so that the whole images are freed."""
    if not crop:
        return pair
    height, width = (min(crop // scale, side) for side in pair.lr.shape[1:])
    top, left = (pair.lr.shape[1] - height) // 2, (pair.lr.shape[2] - width) // 2
    lr = pair.lr[:, top:, left:][:, :height, :width]
    hr = pair.hr[:, scale * top :, scale * left :][:, : scale * height, : scale * width]
    return Pair(pair.path, lr.clone(), hr.clone())
