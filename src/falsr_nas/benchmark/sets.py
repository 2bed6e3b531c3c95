"""Benchmark sets: the image files of a folder. This module needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsr_nas.data.errors import DataError
from falsr_nas.data.sources import ImageFile, list_images


def benchmark_sets(root: Path, names: Sequence[str]) -> dict[str, list[ImageFile]]:
    """List the images of several sets by name, see :func:`benchmark_files`.

    Names are folders in ``root``, or absolute paths.

    Raises:
        DataError: a set is missing or cannot be used, or two have the same name.
    """
    sets = {Path(name).name: benchmark_files(root / name) for name in names}
    if len(sets) < len(names):
        raise DataError(f"sets names a folder twice: {list(names)}")
    return sets


def benchmark_files(folder: Path) -> list[ImageFile]:
    """List the images of a set.

    These are pairs named ``*_HR.*`` and ``*_LR.*``, where there are any; otherwise all images of
    the folder, whose low-resolution versions are made when they are scored.

    Raises:
        DataError: the folder is missing or holds no image, an HR image lacks its LR image, or two
            images differ only in their suffix.
    """
    images = list_images(folder)
    if len({path.stem for path in images}) < len(images):
        raise DataError(f"{folder} holds two images of the same name, apart from the ending")
    high = [path for path in images if path.stem.endswith("_HR")]
    if not high:
        return [ImageFile(path) for path in images]
    low = {path.stem.removesuffix("_LR"): path for path in images if path.stem.endswith("_LR")}
    if not low:
        return [ImageFile(path) for path in high]
    if missing := [path for path in high if path.stem.removesuffix("_HR") not in low]:
        raise DataError(f"{missing[0]} has no LR image beside it, though others in {folder} have")
    return [ImageFile(path, low[path.stem.removesuffix("_HR")]) for path in high]
