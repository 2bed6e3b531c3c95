"""Validation images, on which candidates are scored during a search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor, cat

from falsr_nas.data.degradations import degradation_of
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import luma
from falsr_nas.data.pairs import Pair, load_pairs
from falsr_nas.data.settings import MIN_CROP, DataSettings, DegradationSettings
from falsr_nas.data.sources import find_images


def load_validation(
    data: DataSettings, scale: int, degradation: DegradationSettings | None
) -> list[Pair]:
    """Decode the validation images of a data source, or the centres of them.

    Raises:
        DataError: images are missing or cannot be used, or all of them are flat.
    """
    pairs = load_pairs(
        find_images(data, scale).val,
        MIN_CROP // scale,
        data.val_crop,
        data.on_error,
        scale=scale,
        degrade=degradation_of(degradation),
    )
    # As they are scored: without pixels at the edges.
    scored = (high[..., scale:-scale, scale:-scale] for _, high in luma_planes(pairs))
    if all(plane.min() == plane.max() for plane in scored):
        crop = data.val_crop
        raise DataError(
            ("the centres (data.val_crop) of " if crop else "")
            + "the validation images are flat, so that every network is perfect on them: give other"
            + f" images{', or data.val_crop=0' if crop else ''}"
        )
    return pairs


def luma_planes(pairs: Sequence[Pair]) -> list[tuple[Tensor, Tensor]]:
    """Return the luma of images at both sizes: (1, 1, h, w) and (1, 1, sh, sw) in [0, 1]."""
    return [(_plane(pair.lr), _plane(pair.hr)) for pair in pairs]


def validation_batches(pairs: Sequence[Pair], max_pixels: int) -> list[tuple[Tensor, Tensor]]:
    """Return the luma of images in batches of equal shape: (N, 1, h, w) and (N, 1, sh, sw).

    Args:
        pairs: the images.
        max_pixels: LR pixels that a batch may hold; a larger image is a batch of its own.
    """
    alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for lr, hr in luma_planes(pairs):
        alike[tuple(lr.shape)].append((lr, hr))
    batches = []
    for shape, planes in alike.items():
        size = max(1, max_pixels // (shape[-2] * shape[-1]))
        for first in range(0, len(planes), size):
            chosen = planes[first : first + size]
            batches.append((cat([lr for lr, _ in chosen]), cat([hr for _, hr in chosen])))
    return batches


def _plane(image: Tensor) -> Tensor:
    """Return the luma of (3, H, W) uint8 as (1, 1, H, W)."""
    return luma(image.permute(1, 2, 0))[None, None]
