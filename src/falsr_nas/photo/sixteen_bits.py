"""Reading of PNG and TIFF files with 16 bits per channel, and writing of such PNG files.

Pillow has 16-bit pixels for greyscale images only. It decodes the other files too, checks, filters
and compression included, but keeps only the high byte of each channel. When it is told that the
two bytes of a channel are in the opposite order, it keeps the low byte, so that two decoding
passes give both.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base as Tag
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import putchunk

FORMATS = ("PNG", "TIFF")
"""Formats that can hold 16 bits per channel."""

_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_SUPPORTED_MODES = {
    f"{channels};16{order}" for channels in ("RGB", "RGBX", "RGBA") for order in _SWAPPED
} | {"LA;16B"}
_ANY_16_BIT_MODE = re.compile("(?:I|LA|RGB|RGBX|RGBA|RGBa|CMYK);16.?")
_ROWS_PER_STRIP = 64  # rows compressed at a time

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by the number of channels


def has_16_bits(image: ImageFile) -> bool:
    """Return whether the file of an image has 16 bits per channel.

    Args:
        image: opened, but not loaded yet.
    """
    return image.mode.startswith("I;16") or any(
        _ANY_16_BIT_MODE.fullmatch(_raw_mode(tile)) for tile in image.tile
    )


def read_16_bits(image: ImageFile, file: BinaryIO) -> NDArray[np.uint16]:
    """Return the pixels of a 16-bit PNG or TIFF as (H, W, channels).

    The channels are grey, grey and alpha, RGB, or RGB and alpha. Pillow applies the EXIF
    orientation of TIFF files while it decodes them, but not that of PNG files.

    Args:
        image: opened, but not loaded yet; this function loads it.
        file: the file that the image was opened from.

    Raises:
        ValueError: the channels are stored in a way that is not supported.
        Exception: whatever Pillow raises for a damaged file.
    """
    if image.mode.startswith("I;16"):
        return _read_grey(image)
    modes = {_raw_mode(tile) for tile in image.tile}
    if not modes <= _SUPPORTED_MODES or _tag(image, Tag.PlanarConfiguration, 1) != 1:
        raise ValueError(
            f"16 bits per channel stored as {', '.join(sorted(modes))} are not supported; "
            "save it as PNG"
        )
    if modes == {"LA;16B"}:  # four bytes per pixel, taken as they are
        _unpack_as(image, {"LA;16B": "RGBA"})
        grey_alpha = np.asarray(image)
        return _join(grey_alpha[..., ::2], grey_alpha[..., 1::2])
    high = np.asarray(image)
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        again.seek(image.tell())
        _unpack_as(again, {mode: mode[:-1] + _SWAPPED[mode[-1]] for mode in modes})
        return _with_alpha(_join(high, np.asarray(again)), image.info.get("transparency"))


def write_16_bit_png(file: BinaryIO, pixels: NDArray[np.unsignedinteger[Any]]) -> None:
    """Write a PNG with 16 bits per channel.

    Args:
        file: where to write.
        pixels: (H, W, channels) uint16; grey, grey and alpha, RGB, or RGB and alpha.
    """
    height, width, channels = pixels.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([16, _COLOUR_TYPE[channels], 0, 0, 0])
    putchunk(file, b"IHDR", header)
    compressor = zlib.compressobj()
    for rows in _filtered_rows(pixels):
        if packed := compressor.compress(rows):
            putchunk(file, b"IDAT", packed)
    putchunk(file, b"IDAT", compressor.flush())
    putchunk(file, b"IEND", b"")


def _read_grey(image: ImageFile) -> NDArray[np.uint16]:
    if image.format == "TIFF" and _tag(image, Tag.BitsPerSample, 16) not in (16, (16,)):
        raise ValueError("its pixels have neither 8 nor 16 bits")
    # Pillow does not invert these.
    white_is_zero = _tag(image, Tag.PhotometricInterpretation, 1) == 0
    pixels = np.asarray(image).astype(np.uint16)[..., None]
    return _with_alpha(~pixels if white_is_zero else pixels, image.info.get("transparency"))


def _tag(image: ImageFile, tag: int, default: Any) -> Any:
    return image.tag_v2.get(tag, default) if image.format == "TIFF" else default  # type: ignore[attr-defined]


def _raw_mode(tile: Any) -> str:
    """Return the layout from which Pillow unpacks a tile, e.g. ``RGB;16B``; empty if not given."""
    first = tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args
    return first if isinstance(first, str) else ""


def _unpack_as(image: ImageFile, raw_modes: dict[str, str]) -> None:
    def changed(tile: Any) -> Any:
        mode = raw_modes[_raw_mode(tile)]
        return tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)

    image.tile = [changed(tile) for tile in image.tile]


def _join(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    pixels = high.astype(np.uint16)
    pixels <<= 8
    pixels |= low
    return pixels


def _with_alpha(pixels: NDArray[np.uint16], transparent: object) -> NDArray[np.uint16]:
    """Add an alpha channel if the PNG declares one colour as transparent."""
    if not isinstance(transparent, int | tuple):
        return pixels
    hidden = (pixels == np.array(transparent)).all(axis=2, keepdims=True)
    return np.concatenate([pixels, np.where(hidden, 0, 2**16 - 1).astype(np.uint16)], axis=2)


def _filtered_rows(pixels: NDArray[np.uint16]) -> Iterator[bytes]:
    """Yield strips of rows with PNG's filter 2: each big-endian byte less the one above it."""
    height, width, channels = pixels.shape
    above = np.zeros((1, 2 * width * channels), np.uint8)
    for top in range(0, height, _ROWS_PER_STRIP):
        strip = pixels[top : top + _ROWS_PER_STRIP].astype(">u2")
        strip = strip.reshape(-1, width * channels).view(np.uint8)
        filtered = np.full((len(strip), 1 + strip.shape[1]), 2, np.uint8)
        filtered[:, 1:] = strip - np.concatenate([above, strip[:-1]])
        above = strip[-1:]
        yield filtered.tobytes()
