"""Degradations of photographs: what they do, and that nothing but the seed decides it."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from falsr_nas.core.errors import UserError
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.degradation import downscale
from falsr_nas.data.degradations import degradation_named, degrade_photo
from falsr_nas.data.settings import PhotoDegradation, PhotographsSettings

HR = torch.from_numpy(astronaut()[:240, :300]).permute(2, 0, 1).contiguous()
LR = downscale(HR)
NOTHING = PhotoDegradation(
    clean=0, blur=0, sharpening=0, noise=0, quality=(100, 100), full_chroma=1, webp=0, twice=0
)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).square().mean())


def test_a_photograph_depends_on_its_seed_alone() -> None:
    first = [degrade_photo(HR, 2, PhotoDegradation(clean=0), (1, i, 0)) for i in range(8)]
    again = [degrade_photo(HR, 2, PhotoDegradation(clean=0), (1, i, 0)) for i in reversed(range(8))]
    assert all(torch.equal(a, b) for a, b in zip(first, reversed(again), strict=True))
    assert all(image.shape == LR.shape and image.dtype == torch.uint8 for image in first)
    assert len({image.numpy().tobytes() for image in first}) == 8


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_clean_images_are_the_benchmarks(scale: int) -> None:
    clean = replace(NOTHING, clean=1.0)
    assert torch.equal(degrade_photo(HR, scale, clean, (1,)), downscale(HR, scale))
    share = PhotoDegradation(clean=0.5)
    clean_ones = [torch.equal(degrade_photo(HR, 2, share, (i,)), LR) for i in range(40)]
    assert 10 <= sum(clean_ones) <= 30


@pytest.mark.parametrize(
    "stronger",
    [{"blur": 2.0}, {"noise": 20.0}, {"sharpening": 3.0}, {"quality": (10, 10)}, {"webp": 1.0}],
)
def test_each_part_changes_the_image(stronger: dict[str, object]) -> None:
    little, more = (
        np.mean([distance(degrade_photo(HR, 2, settings, (i,)), LR) for i in range(8)])
        for settings in (NOTHING, replace(NOTHING, **stronger))
    )
    assert more > 1.2 * little


@pytest.mark.parametrize("full", [False, True])
def test_a_named_jpeg_is_what_pillow_writes(full: bool) -> None:
    degrade = degradation_named("jpeg60-444" if full else "jpeg60")
    assert degrade is not None
    file = io.BytesIO()
    image = Image.fromarray(LR.permute(1, 2, 0).numpy())
    image.save(file, "JPEG", quality=60, subsampling=0 if full else 2)
    expected = np.asarray(Image.open(file).convert("RGB"))
    assert np.array_equal(degrade(HR, LR, 0).permute(1, 2, 0).numpy(), expected)


def test_lower_quality_is_further_away() -> None:
    for kind in ("jpeg", "webp"):
        degraded = [degradation_named(f"{kind}{quality}") for quality in (30, 60, 90)]
        far = [distance(degrade(HR, LR, 0), LR) for degrade in degraded if degrade]
        assert far[0] > far[1] > far[2] > 0
    assert degradation_named("bicubic") is None


@pytest.mark.parametrize("name", ["jpeg", "jpeg0", "jpeg101", "webp60-444", "png", "Jpeg60", ""])
def test_an_unknown_degradation_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="give bicubic, photo"):
        degradation_named(name)


def lr_images(data: SuperResolutionData) -> Tensor:
    return data.pool()._lr.clone()


def made(period: int | None = 3) -> SuperResolutionData:
    return SuperResolutionData(
        PhotographsSettings(val_crop=32),
        batch_size=2,
        patch_size=16,
        steps_per_epoch=2,
        degradation=PhotoDegradation(period=period),
    )


def test_the_images_of_an_epoch_do_not_depend_on_the_way_there() -> None:
    whole, resumed = made(), made()
    for epoch in range(5):
        whole.begin_epoch(epoch, seed=7)
    resumed.begin_epoch(4, seed=7)
    assert torch.equal(lr_images(whole), lr_images(resumed))
    whole.begin_epoch(0, seed=7)  # the next candidate of a search
    fresh = made()
    fresh.begin_epoch(0, seed=7)
    assert torch.equal(lr_images(whole), lr_images(fresh))
    fresh.begin_epoch(0, seed=8)
    assert not torch.equal(lr_images(whole), lr_images(fresh))


def test_every_image_changes_once_in_a_period() -> None:
    data = made()
    before: list[Tensor] = []
    for epoch in range(6):
        data.begin_epoch(epoch, seed=1)
        before.append(lr_images(data))
    changes = [int((a != b).any()) for a, b in pairwise(before)]
    assert all(changes), "some images change in each epoch"
    assert not torch.equal(before[0], before[3])
    fixed = made(period=None)
    fixed.begin_epoch(0, seed=1)
    first = lr_images(fixed)
    fixed.begin_epoch(9, seed=1)
    assert torch.equal(first, lr_images(fixed))


def test_the_benchmarks_degradation_is_left_alone() -> None:
    settings = PhotographsSettings(val_crop=32)
    data = SuperResolutionData(settings, batch_size=2, patch_size=16, steps_per_epoch=2)
    before = lr_images(data)
    data.begin_epoch(3, seed=1)
    assert torch.equal(before, lr_images(data))
