"""Writing of TIFF files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.photograph_file import read_photograph, save_photograph
from photo.photographs import PROFILE, carried, noise


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("height", [1, 64, 150])
def test_tiff_is_read_by_tifffile(channels: int, dtype: type, height: int, tmp_path: Path) -> None:
    pixels = noise(height, 9, channels, dtype)
    path = tmp_path / "a.tif"
    save_photograph(Photograph(pixels, carried()), path, 95)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert np.array_equal(page.asarray().reshape(pixels.shape), pixels)
        assert page.tags[34675].value == PROFILE
        assert page.tags["ExifTag"].value["DateTimeOriginal"] == "2024:05:06 07:08:09"
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"
    if (channels, dtype) != (2, np.uint16):  # Pillow cannot read this one
        assert np.array_equal(read_photograph(path).pixels, pixels)
