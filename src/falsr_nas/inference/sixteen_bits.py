"""PNG and TIFF with 16 bits a channel.

Pillow has pixels of 16 bits for grey alone. It decodes the other files, checks, filters and
compression included, but keeps the high byte of each channel. Asked to take the bytes of each
channel the other way round it keeps the low byte, so two passes give both. What it cannot write is
written here.
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
from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "TIFF")
"""Formats that hold 16 bits a channel."""

_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_DEEP = {f"{colours};16{order}" for colours in ("RGB", "RGBX", "RGBA") for order in _SWAPPED} | {
    "LA;16B"
}
_ANY_DEEP = re.compile("(?:I|LA|RGB|RGBX|RGBA|RGBa|CMYK);16.?")
_STRIP = 64  # rows that are compressed at a time

_PHOTOMETRIC, _PLANES, _BITS = 262, 284, 258
_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's, by the number of channels


def is_deep(image: ImageFile) -> bool:
    """Whether an image that was opened, not loaded yet, has 16 bits a channel in its file."""
    return image.mode.startswith("I;16") or any(
        _ANY_DEEP.fullmatch(_raw_mode(tile)) for tile in image.tile
    )


def read_deep(image: ImageFile, file: BinaryIO) -> NDArray[np.uint16]:
    """(H, W, channels) of a 16-bit PNG or TIFF: grey, grey and alpha, RGB, or RGB and alpha.

    Turned as Pillow turns on decoding (TIFF yes, PNG no).

    Args:
        image: opened, not loaded yet; it is loaded then.
        file: that it was opened from.

    Raises:
        ValueError: when the channels are stored in a way that is not known here; and whatever
            Pillow raises.
    """
    if image.mode.startswith("I;16"):
        return _read_grey(image)
    modes = {_raw_mode(tile) for tile in image.tile}
    if not modes <= _DEEP or _tag(image, _PLANES, 1) != 1:
        raise ValueError(
            f"16 bits a channel stored as {', '.join(sorted(modes))} are not read; save it as PNG"
        )
    if modes == {"LA;16B"}:  # its four bytes a pixel, as they are
        _unpack_as(image, {"LA;16B": "RGBA"})
        grey_alpha = np.asarray(image)
        return _join(grey_alpha[..., ::2], grey_alpha[..., 1::2])
    high = np.asarray(image)
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        _unpack_as(again, {mode: mode[:-1] + _SWAPPED[mode[-1]] for mode in modes})
        return _with_alpha(_join(high, np.asarray(again)), image.info.get("transparency"))


def write_deep_png(
    file: BinaryIO,
    pixels: NDArray[np.unsignedinteger[Any]],
    profile: bytes | None,
    exif: bytes | None,
) -> None:
    """A PNG of (H, W, channels) uint16."""
    height, width, channels = pixels.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([16, _COLOUR_TYPE[channels], 0, 0, 0])
    _write_chunk(file, b"IHDR", header)
    if profile:
        _write_chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    if exif:
        _write_chunk(file, b"eXIf", exif)
    compressor = zlib.compressobj()
    for rows in _filtered_rows(pixels):
        if packed := compressor.compress(rows):
            _write_chunk(file, b"IDAT", packed)
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _read_grey(image: ImageFile) -> NDArray[np.uint16]:
    if image.format == "TIFF" and _tag(image, _BITS, 16) not in (16, (16,)):
        raise ValueError("its pixels have neither 8 nor 16 bits")
    white_is_zero = _tag(image, _PHOTOMETRIC, 1) == 0  # which Pillow leaves as it is
    pixels = np.asarray(image).astype(np.uint16)[..., None]
    return _with_alpha(~pixels if white_is_zero else pixels, image.info.get("transparency"))


def _tag(image: ImageFile, tag: int, default: Any) -> Any:
    return image.tag_v2.get(tag, default) if image.format == "TIFF" else default  # type: ignore[attr-defined]


def _raw_mode(tile: Any) -> str:
    """How Pillow is to unpack a tile of a file, e.g. ``RGB;16B``; empty where a codec does not say."""
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
    """PNG can say that one colour is transparent."""
    if not isinstance(transparent, int | tuple):
        return pixels
    hidden = (pixels == np.array(transparent)).all(axis=2, keepdims=True)
    return np.concatenate([pixels, np.where(hidden, 0, 2**16 - 1).astype(np.uint16)], axis=2)


def _write_chunk(file: BinaryIO, kind: bytes, body: bytes) -> None:
    file.write(len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4))


def _filtered_rows(pixels: NDArray[np.uint16]) -> Iterator[bytes]:
    """Rows as PNG compresses them, some at a time: big-endian, each byte less the one a row above (its filter 2)."""
    height, width, channels = pixels.shape
    above = np.zeros((1, 2 * width * channels), np.uint8)
    for top in range(0, height, _STRIP):
        strip = (
            pixels[top : top + _STRIP].astype(">u2").reshape(-1, width * channels).view(np.uint8)
        )
        filtered = np.full((len(strip), 1 + strip.shape[1]), 2, np.uint8)
        filtered[:, 1:] = strip - np.concatenate([above, strip[:-1]])
        above = strip[-1:]
        yield filtered.tobytes()
