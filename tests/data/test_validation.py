from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from falsr_nas.data.errors import DataError
from falsr_nas.data.images import luma
from falsr_nas.data.pairs import Pair
from falsr_nas.data.settings import FolderSettings
from falsr_nas.data.validation import load_validation, luma_planes, validation_batches
from falsr_nas.training.interpolation import interpolation_psnr

SIZES = ((4, 6), (5, 5), (4, 6), (4, 6), (6, 4))


@pytest.fixture
def pairs() -> list[Pair]:
    random = torch.Generator().manual_seed(0)

    def noise(height: int, width: int) -> torch.Tensor:
        return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=random)

    return [
        Pair(Path(f"dir/{i}.png"), noise(h, w), noise(2 * h, 2 * w))
        for i, (h, w) in enumerate(SIZES)
    ]


def test_images_are_luma_planes(pairs: list[Pair]) -> None:
    for pair, (lr, hr) in zip(pairs, luma_planes(pairs), strict=True):
        assert torch.equal(lr[0, 0], luma(pair.lr.permute(1, 2, 0)))
        assert torch.equal(hr[0, 0], luma(pair.hr.permute(1, 2, 0)))


@pytest.mark.parametrize(
    ("max_pixels", "sizes"), [(1, [1] * 5), (47, [1] * 5), (48, [2, 1, 1, 1]), (10_000, [3, 1, 1])]
)
def test_batches_hold_each_image_once_within_the_limit(
    pairs: list[Pair], max_pixels: int, sizes: list[int]
) -> None:
    batches = validation_batches(pairs, max_pixels)
    assert [len(lr) for lr, _ in batches] == sizes
    assert all(hr.shape == (len(lr), 1, 2 * lr.shape[2], 2 * lr.shape[3]) for lr, hr in batches)
    served = sorted(
        ((lr, hr) for batch in batches for lr, hr in zip(*batch, strict=True)),
        key=lambda pair: float(pair[0].sum()),
    )
    expected = sorted(luma_planes(pairs), key=lambda pair: float(pair[0].sum()))
    assert all(
        torch.equal(a, c[0]) and torch.equal(b, d[0])
        for (a, b), (c, d) in zip(served, expected, strict=True)
    )


def folder(path: Path, **images: np.ndarray) -> FolderSettings:
    path.mkdir()
    for name, pixels in images.items():
        Image.fromarray(pixels.astype(np.uint8)).save(path / f"{name}.png")
    other = path.with_name("other")
    other.mkdir()
    Image.fromarray(GREY.astype(np.uint8)).save(other / "t.png")
    return FolderSettings(train_dirs=(str(other),), val_dir=str(path))


GREY = np.full((256, 240, 3), 128)
DOT = np.where(np.indices((256, 240, 1)).sum(0) == 4, 0, GREY)  # near a corner


@pytest.mark.parametrize("crop", [0, 64])
def test_flat_images_are_refused(tmp_path: Path, crop: int) -> None:
    data = replace(folder(tmp_path / "v", a=GREY, b=GREY // 2), val_crop=crop)
    with pytest.raises(DataError, match="the validation images are flat") as error:
        load_validation(data, 2, None)
    assert ("or data.val_crop=0" in str(error.value)) == bool(crop)


def test_one_image_that_is_not_flat_makes_a_finite_range(tmp_path: Path) -> None:
    data = folder(tmp_path / "v", a=GREY, b=DOT)
    with pytest.raises(DataError, match="the centres"):
        load_validation(replace(data, val_crop=64), 2, None)
    whole = replace(data, val_crop=0)
    assert len(load_validation(whole, 2, None)) == 2
    assert 20 < interpolation_psnr(whole) < 100
