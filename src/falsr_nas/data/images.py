"""Reading of untrusted image files as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from falsr_nas.data.errors import DataError
from falsr_nas.data.formats import MAX_PIXELS, bits_per_channel, decoders, why_not_an_image
from falsr_nas.data.levels import LUMA_WEIGHTS, PEAK
from falsr_nas.data.png_chunks import without_metadata

# Limits for files that take far more memory or time than their size suggests; our choice, and far
# above what photographs need.
_MAX_BYTES_PER_PIXEL = 8
_MAX_OTHER_BYTES = 64 * 2**20  # of a file, beside its pixels
_MAX_TILE_PIXELS = 2**22  # of a TIFF's tile, if the image is not larger
_MAX_TILES = 2**17  # of a TIFF
_MAX_SCANS = 200  # of a progressive JPEG
_REDUCED, _REDUCED_OR_MASK = 2, 1 | 4  # values of a TIFF's SubfileType, bits of NewSubfileType
_HEAD_BYTES = 2**14  # of a file, to recognise its format; our choice

LUMA = torch.tensor(LUMA_WEIGHTS) / PEAK
"""Weights of full-range luma in [0, 1], for R, G and B in 0..255."""


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read an image file as RGB.

    The EXIF orientation is applied. Grey, palette and CMYK images become RGB; 16-bit channels keep
    their high byte; an alpha channel is dropped; of an animation or a stack, the first image is
    read. Colour profiles are not applied.

    Args:
        path: a file of one of :data:`~falsr_nas.data.formats.FORMATS`.
        max_pixels: larger images are refused by their header, before anything is decoded.

    Returns:
        (3, H, W) uint8.

    Raises:
        DataError: the file is missing, damaged, too large or of another format, or its pixels have
            32 bits.
    """
    with open_image(path, max_pixels) as (_, image):
        pixels = np.asarray(_rgb(ImageOps.exif_transpose(image)))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@contextmanager
def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[tuple[BinaryIO, ImageFile]]:
    """Open an image file; yields the file and the image, of which only the header is read.

    Pillow gets an open file rather than a path: given a path, it maps some files into memory, which
    crashes when the file is truncated meanwhile, and orients uncompressed grey TIFF files wrongly.

    Raises:
        DataError: the file is not an image of :data:`~falsr_nas.data.formats.FORMATS` or exceeds a
            limit; also in place of any exception that the block raises while it decodes the image.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise ValueError(f"it is a link to {path.readlink()}, which does not exist")
        if path.exists() and not path.is_file():  # opening a pipe would wait for its other end
            kind = "a folder, which may not be listed" if path.is_dir() else "not a regular file"
            raise ValueError(f"it is {kind}")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(0)
            is_png = head.startswith(b"\x89PNG")
            content, metadata = without_metadata(file) if is_png else (file, {})
            try:
                image = Image.open(content, formats=decoders(head))
            except UnidentifiedImageError:
                raise ValueError(why_not_an_image(head)) from None
            with image:
                image.info = cast(dict[Any, Any], metadata) | image.info
                image.seek(full_pages(image)[0])
                _check_limits(path, file, image, max_pixels)
                yield content, image
    except DataError:
        raise
    except Exception as error:  # decoders raise all kinds of exceptions for damaged files
        text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
        reason = " ".join(text.split()) or type(error).__name__
        raise DataError(f"image {path} cannot be read: {reason}") from error


def full_pages(image: ImageFile) -> list[int]:
    """Return the pages of an animation or a stack, without a TIFF's own thumbnails and masks.

    The second image of a JPEG file is a preview.
    """
    if image.format != "TIFF":
        return list(range(1 if image.format == "MPO" else getattr(image, "n_frames", 1)))
    now, pages = image.tell(), []
    with suppress(EOFError):
        for page in count():
            with suppress(SyntaxError):  # of pixels that Pillow does not know, such as a mask's
                image.seek(page)
            tags = image.tag_v2  # type: ignore[attr-defined]
            is_reduced = tags.get(ExifTags.Base.SubfileType, 1) == _REDUCED
            if not is_reduced and not tags.get(ExifTags.Base.NewSubfileType, 0) & _REDUCED_OR_MASK:
                pages.append(page)
    image.seek(now)
    return pages or [0]


def refuse_lost_bits(image: ImageFile, file: BinaryIO) -> None:
    """Raise ValueError if Pillow would silently keep only 8 bits of each channel."""
    bits = image.info.get("bit_depth", 8)  # of HEIF
    if image.format in ("JPEG2000", "AVIF") and not image.mode.startswith("I;16"):
        bits = bits_per_channel(_from_start(file, _HEAD_BYTES))
    if bits > 8:
        raise ValueError("it has more than 8 bits per channel; save it as PNG or TIFF")


def refuse_32_bits(image: Image.Image) -> None:
    """Raise ValueError if pixels have 32 bits, for which no range of values is defined."""
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16 bits per channel")


def luma(rgb: Tensor, weights: Tensor = LUMA) -> Tensor:
    """Return full-range luma (Y of YPbPr), Y = (0.299 R + 0.587 G + 0.114 B) / 255, unrounded.

    Args:
        rgb: (..., 3) uint8, channels last.
        weights: :data:`LUMA`, on the device of ``rgb``.

    Returns:
        (...) float32 in [0, 1]; in full precision under autocast, too.
    """
    with torch.autocast(rgb.device.type, enabled=False):
        return rgb.float() @ weights


def _check_limits(path: Path, file: BinaryIO, image: ImageFile, max_pixels: int) -> None:
    """Refuse files that are small but expensive to decode, as far as headers tell."""
    area = image.width * image.height
    if area > max_pixels:
        raise DataError(
            f"image {path} has {image.width}x{image.height} pixels, "
            f"the limit is {max_pixels:,} pixels (upscale has the setting max_pixels)"
        )
    size, max_size = path.stat().st_size, _MAX_BYTES_PER_PIXEL * area + _MAX_OTHER_BYTES
    if size > max_size:
        raise ValueError(
            f"the file has {size:,} bytes, the limit for an image of {area:,} pixels is "
            f"{max_size:,}"
        )
    # Pillow's decoder takes minutes for a thousand bytes.
    if any(tile.codec_name == "bmp_rle" for tile in image.tile):
        raise ValueError("compressed BMP files are not supported; save it as PNG")
    if image.format == "TIFF":
        _check_tiles(image, area)
    scans = _from_start(file).count(b"\xff\xda") if image.info.get("progressive") else 0
    if scans > _MAX_SCANS:
        raise ValueError(f"JPEG has {scans} scans, the limit is {_MAX_SCANS}")


def _check_tiles(image: ImageFile, area: int) -> None:
    width, height = (
        image.tag_v2.get(tag, 1)  # type: ignore[attr-defined]
        for tag in (ExifTags.Base.TileWidth, ExifTags.Base.TileLength)
    )
    max_pixels = max(_MAX_TILE_PIXELS, area)
    if width * height > max_pixels:
        raise ValueError(
            f"TIFF has tiles of {width}x{height} pixels, the limit is {max_pixels:,} pixels"
        )
    if len(image.tile) > _MAX_TILES:
        raise ValueError(f"TIFF has {len(image.tile):,} tiles, the limit is {_MAX_TILES:,}")


def _from_start(file: BinaryIO, size: int = -1) -> bytes:
    """Read a file from its start, and return to the place where it is."""
    place = file.tell()
    file.seek(0)
    content = file.read(size)
    file.seek(place)
    return content


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # The high byte, which is also what Pillow keeps of 16-bit RGB.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    refuse_32_bits(image)
    return image.convert("RGB")
