"""EXIF metadata and ICC profiles of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falsr_nas.photo.exif import read_exif
from falsr_nas.photo.metadata import Metadata
from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.photograph_file import read_photograph, save_photograph
from photo.photographs import EXIF, GPS, ORIENTATION, PROFILE, metadata, noise, saved


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_profile_and_exif_are_kept(ending: str, tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.jpg", Image.fromarray(noise(5, 7, 3)), exif=metadata(6), icc_profile=PROFILE
    )
    photograph = read_photograph(path)
    assert photograph.metadata.profile == PROFILE
    larger = Photograph(noise(14, 10, 3), photograph.metadata)
    save_photograph(larger, tmp_path / f"b.{ending}", 95)
    with Image.open(tmp_path / f"b.{ending}") as image:
        assert image.info["icc_profile"] == PROFILE
        exif = image.getexif()
        assert (exif[0x010F], exif[0x8298], float(exif[0x011A])) == ("Maker", "(c) me", 300)
        inner = exif.get_ifd(EXIF)
        assert inner[0x9003] == "2024:05:06 07:08:09"
        assert float(inner[0x829A]) == pytest.approx(0.005)
        assert inner[0x927C] == b"private"
        assert (inner[0xA002], inner[0xA003]) == (10, 14)
        assert exif.get_ifd(GPS) == {1: "N", 2: (48.0, 51.0, 30.0)}
        assert exif.get(ORIENTATION, 1) == 1


def test_exif_too_long_for_jpeg_loses_the_maker_note(tmp_path: Path) -> None:
    exif = metadata()
    exif.get_ifd(EXIF)[0x927C] = bytes(70_000)
    photograph = read_photograph(
        saved(tmp_path / "a.png", Image.fromarray(noise(5, 7, 3)), exif=exif)
    )
    save_photograph(photograph, tmp_path / "b.jpg", 95)
    kept = Image.open(tmp_path / "b.jpg").getexif()
    assert kept[0x010F] == "Maker"
    assert 0x927C not in kept.get_ifd(EXIF)


def test_nested_exif_directories_alone_are_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(EXIF)[0x9003] = "2024:05:06 07:08:09"
    alone = Metadata(exif=read_exif(exif.tobytes()))
    for dtype, extension in ((np.uint8, "png"), (np.uint16, "png"), (np.uint8, "tif")):
        path = tmp_path / f"a.{extension}"
        save_photograph(Photograph(noise(5, 7, 3, dtype), alone), path, 95)
        with Image.open(path) as image:
            assert image.getexif().get_ifd(EXIF)[0x9003] == "2024:05:06 07:08:09"


def test_damaged_exif_does_not_refuse_the_photograph(tmp_path: Path) -> None:
    image = Image.fromarray(noise(5, 7, 3))
    content = bytearray(metadata(3).tobytes())
    for i in range(40, len(content), 7):
        content[i] = 0xFF
    assert read_photograph(saved(tmp_path / "a.png", image, exif=bytes(content))).pixels.shape == (
        5,
        7,
        3,
    )
