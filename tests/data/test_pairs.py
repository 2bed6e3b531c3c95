from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from falsr_nas.data import pairs as pairs_module
from falsr_nas.data.degradation import downscale, modcrop
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import read_image
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.sources import ImageFile


def test_lr_is_made_from_the_even_part_of_hr(tmp_path: Path, save_noise) -> None:
    path = save_noise(tmp_path / "a.png", 41, 37)
    (pair,) = load_pairs([ImageFile(path)], min_side=18)
    assert torch.equal(pair.hr, modcrop(read_image(path), 2)) and pair.hr.shape == (3, 36, 40)
    assert torch.equal(pair.lr, downscale(pair.hr))


def test_given_lr_is_read(tmp_path: Path, save_noise) -> None:
    hr, lr = (
        save_noise(tmp_path / "a.png", 41, 37),
        save_noise(tmp_path / "ax2.png", 20, 18, seed=1),
    )
    (pair,) = load_pairs([ImageFile(hr, lr)], min_side=8)
    assert torch.equal(pair.lr, read_image(lr))


def test_given_lr_of_another_size_is_refused(tmp_path: Path, save_noise) -> None:
    hr, lr = save_noise(tmp_path / "a.png", 40, 36), save_noise(tmp_path / "ax2.png", 20, 19)
    with pytest.raises(
        DataError, match=r"ax2\.png is 20x19: it must be .*a\.png, which is 40x36, divided by 2"
    ):
        load_pairs([ImageFile(hr, lr)], min_side=8)


@pytest.mark.parametrize("scale", [3, 4])
def test_lr_of_another_scale_is_made(scale: int, tmp_path: Path, save_noise) -> None:
    hr = save_noise(tmp_path / "a.png", 41, 37)
    lr = save_noise(tmp_path / "ax2.png", 20, 18, seed=1)
    (pair,) = load_pairs([ImageFile(hr, lr)], min_side=8, scale=scale)
    assert torch.equal(pair.hr, modcrop(read_image(hr), scale))
    assert torch.equal(pair.lr, downscale(pair.hr, scale))


@pytest.mark.parametrize("scale", [3, 4])
def test_crops_of_other_scales_are_aligned(scale: int, tmp_path: Path, save_noise) -> None:
    path = save_noise(tmp_path / "a.png", 60, 48)
    (whole,) = load_pairs([ImageFile(path)], 8, scale=scale)
    (crop,) = load_pairs([ImageFile(path)], 8, crop=26, scale=scale)
    side = 26 // scale
    top, left = (whole.lr.shape[1] - side) // 2, (whole.lr.shape[2] - side) // 2
    assert crop.lr.shape == (3, side, side)
    assert torch.equal(crop.lr, whole.lr[:, top : top + side, left : left + side])
    rows = slice(scale * top, scale * (top + side))
    columns = slice(scale * left, scale * (left + side))
    assert torch.equal(crop.hr, whole.hr[:, rows, columns])


def test_images_are_in_order_with_any_number_of_threads(tmp_path: Path, save_noise) -> None:
    files = [
        ImageFile(save_noise(tmp_path / f"{i}.png", 16 + 2 * (i % 5), 16 + 10 * (i % 3), seed=i))
        for i in range(30)
    ]
    assert [pair.path for pair in load_pairs(files, min_side=8)] == [file.hr for file in files]


@pytest.mark.parametrize(("width", "height"), [(40, 36), (20, 36), (40, 18), (20, 18)])
def test_crops_are_central_and_aligned(tmp_path: Path, save_noise, width: int, height: int) -> None:
    path = save_noise(tmp_path / "a.png", width, height)
    (whole,), (crop,) = load_pairs([ImageFile(path)], 8), load_pairs([ImageFile(path)], 8, crop=20)
    top, left = (
        (whole.lr.shape[1] - crop.lr.shape[1]) // 2,
        (whole.lr.shape[2] - crop.lr.shape[2]) // 2,
    )
    assert crop.hr.shape[1:] == (min(20, height), min(20, width))
    assert torch.equal(
        crop.lr, whole.lr[:, top : top + crop.lr.shape[1], left : left + crop.lr.shape[2]]
    )
    assert torch.equal(
        crop.hr,
        whole.hr[:, 2 * top : 2 * top + crop.hr.shape[1], 2 * left : 2 * left + crop.hr.shape[2]],
    )


def test_errors_about_small_images_name_size_and_minimum(tmp_path: Path, save_noise) -> None:
    path = save_noise(tmp_path / "small.png", 40, 36)
    with pytest.raises(DataError, match=r"small\.png is 40x36: it needs at least 38x38"):
        load_pairs([ImageFile(path)], min_side=19)
    assert len(load_pairs([ImageFile(path)], min_side=18)) == 1


def test_skip_leaves_out_bad_images_and_names_them(
    tmp_path: Path, save_noise, caplog: pytest.LogCaptureFixture
) -> None:
    good, small = save_noise(tmp_path / "good.png"), save_noise(tmp_path / "small.png", 10, 10)
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:300])
    files = [
        ImageFile(broken),
        ImageFile(good),
        ImageFile(small),
        ImageFile(good, tmp_path / "missing.png"),
    ]
    with caplog.at_level(logging.WARNING):
        assert [pair.path for pair in load_pairs(files, min_side=8, on_error="skip")] == [good]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    for name, record in zip(
        ("broken.png", "small.png", "missing.png"), caplog.records, strict=True
    ):
        assert name in record.message


def test_no_usable_image_is_an_error(tmp_path: Path, save_noise) -> None:
    path = save_noise(tmp_path / "small.png", 10, 10)
    with pytest.raises(DataError, match="none of the 1 images can be used"):
        load_pairs([ImageFile(path)], min_side=8, on_error="skip")


def test_the_first_bad_image_stops_the_reading(
    tmp_path: Path, save_noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = save_noise(tmp_path / "good.png")
    read = []
    monkeypatch.setattr(
        pairs_module, "read_image", lambda path: read.append(path) or read_image(path)
    )
    with pytest.raises(DataError, match=r"none\.png"):
        load_pairs([ImageFile(tmp_path / "none.png")] + [ImageFile(good)] * 3000, min_side=8)
    assert len(read) < 3000
