"""TIFF files of 8 or 16 bits a channel, with what the camera noted: Pillow's writer does not do the one and loses the other."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_STRIP = 64  # rows

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _CHANNELS, _ROWS, _SIZES = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
)
_PREDICTOR, _EXTRA, _PROFILE = 317, 338, 34675
_LONG, _UNDEFINED = 4, 7
_DEFLATE, _HORIZONTAL, _UNASSOCIATED_ALPHA = 8, 2, 2


def write_tiff(
    file: BinaryIO, pixels: NDArray[Any], profile: bytes | None, notes: Mapping[int, Any]
) -> None:
    """A TIFF, deflated, of (H, W, channels) uint8 or uint16: grey, grey and alpha, RGB, or RGB and alpha.

    Args:
        file: at its beginning, to be written and gone back in.
        pixels: to write.
        profile: an ICC profile, or None.
        notes: EXIF tags and their values; the values of its inner directories are such mappings,
            too.
    """
    height, width, channels = pixels.shape
    directory = ImageFileDirectory_v2()
    for tag, value in notes.items():
        directory[tag] = value
    directory[_WIDTH], directory[_HEIGHT] = width, height
    directory[_BITS] = (8 * pixels.itemsize,) * channels
    directory[_CHANNELS] = channels
    directory[_PHOTOMETRIC] = 2 if channels > 2 else 1  # RGB, or black is zero
    directory[_COMPRESSION], directory[_PREDICTOR] = _DEFLATE, _HORIZONTAL
    if channels % 2 == 0:
        directory[_EXTRA] = _UNASSOCIATED_ALPHA
    if profile:
        directory.tagtype[_PROFILE] = _UNDEFINED
        directory[_PROFILE] = profile
    directory[_ROWS] = _STRIP
    directory.tagtype[_OFFSETS] = directory.tagtype[_SIZES] = _LONG
    count = -(-height // _STRIP)
    directory[_OFFSETS] = directory[_SIZES] = (0,) * count
    directory.save(file)  # takes the room that it will need
    sizes = [file.write(_strip(pixels[top : top + _STRIP])) for top in range(0, height, _STRIP)]
    directory[_SIZES] = tuple(sizes)
    directory[_OFFSETS] = tuple(
        int(offset) for offset in np.cumsum([0, *sizes[:-1]])
    )  # from the directory's end, as it wants them
    file.seek(0)
    directory.save(file)


def _strip(rows: NDArray[Any]) -> bytes:
    """Each pixel less the one before it, deflated."""
    differences = rows.astype(rows.dtype.newbyteorder("<"))
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.tobytes())
