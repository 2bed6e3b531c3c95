"""Photographs and files for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from falsr_nas.photo.exif import read_exif
from falsr_nas.photo.metadata import Metadata

ORIENTATION = 0x0112
EXIF, GPS = 0x8769, 0x8825
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height: int, width: int, channels: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(channels).integers(
        0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype
    )


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def carried(orientation: int = 1) -> Metadata:
    return Metadata(PROFILE, read_exif(metadata(orientation).tobytes()))


def metadata(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F], exif[0x8298], exif[0x011A] = "Maker", "(c) me", 300.0
    exif.get_ifd(EXIF).update(
        {0x9003: "2024:05:06 07:08:09", 0x829A: 0.005, 0xA002: 7, 0xA003: 5, 0x927C: b"private"}
    )
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return exif
