"""Writing of TIFF files with 8 or 16 bits per channel and metadata."""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO

from numpy.typing import NDArray

from falsr_nas.photo.exif import (
    LONG,
    SHORT,
    Directory,
    Order,
    Tag,
    directory_bytes,
    head,
    numbers,
)

_ROWS_PER_STRIP = 64
_DEFLATE, _HORIZONTAL, _UNASSOCIATED_ALPHA = 8, 2, 2  # values


def write_tiff(file: BinaryIO, pixels: NDArray[Any], order: Order, fields: Directory) -> None:
    """Write a TIFF file with deflate compression.

    Args:
        file: an empty file that can be written and sought.
        pixels: (H, W, channels) uint8 or uint16; grey, grey and alpha, RGB, or RGB and alpha.
        order: of the bytes in numbers, as in the fields.
        fields: metadata; the layout is added.
    """
    height, width, channels = pixels.shape
    file.write(head(order, 0))
    places, sizes = [], []
    for top in range(0, height, _ROWS_PER_STRIP):
        places.append(file.tell())
        sizes.append(file.write(_strip(pixels[top : top + _ROWS_PER_STRIP], order)))
    layout: Directory = {
        Tag.ImageWidth: numbers(order, LONG, width),
        Tag.ImageLength: numbers(order, LONG, height),
        Tag.BitsPerSample: numbers(order, SHORT, *(8 * pixels.itemsize,) * channels),
        Tag.Compression: numbers(order, SHORT, _DEFLATE),
        # RGB, or grey with black as zero.
        Tag.PhotometricInterpretation: numbers(order, SHORT, 2 if channels > 2 else 1),
        Tag.StripOffsets: numbers(order, LONG, *places),
        Tag.SamplesPerPixel: numbers(order, SHORT, channels),
        Tag.RowsPerStrip: numbers(order, LONG, _ROWS_PER_STRIP),
        Tag.StripByteCounts: numbers(order, LONG, *sizes),
        Tag.Predictor: numbers(order, SHORT, _HORIZONTAL),
    }
    if channels % 2 == 0:
        layout[Tag.ExtraSamples] = numbers(order, SHORT, _UNASSOCIATED_ALPHA)
    file.write(b"\0" * (file.tell() % 2))
    place = file.tell()
    file.write(directory_bytes(order, fields | layout, place))
    file.seek(0)
    file.write(head(order, place))


def _strip(rows: NDArray[Any], order: Order) -> bytes:
    """Return the compressed differences between each pixel and the one to its left."""
    differences = rows.astype(rows.dtype.newbyteorder(order))
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.tobytes())
