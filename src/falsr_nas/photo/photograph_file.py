"""Reading and writing of photographs with all their bits, transparency and metadata."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import putchunk

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import open_atomically
from falsr_nas.data.formats import MAX_PIXELS, WRITTEN
from falsr_nas.data.images import full_pages, open_image, refuse_lost_bits
from falsr_nas.data.png_chunks import Chunk
from falsr_nas.photo.photograph import Photograph, Pixels
from falsr_nas.photo.pillow_image import as_8_bits, as_photograph
from falsr_nas.photo.sixteen_bits import has_16_bits, read_16_bits, write_16_bit_png
from falsr_nas.photo.tiff_file import write_tiff

_WITH_ALPHA = {"PNG", "TIFF", "WEBP"}
_WITH_16_BITS = {"PNG", "TIFF"}
WITH_QUALITY = {"JPEG", "WEBP"}
_PNG_START = 8 + 4 + 4 + 13 + 4  # bytes of a PNG file: the signature and the first chunk
_MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383}


def read_photograph(path: Path, max_pixels: int = MAX_PIXELS) -> Photograph:
    """Read a photograph and apply its EXIF orientation.

    Palettes become RGB. CMYK becomes sRGB by the ICC profile of the file, or without one if that
    is damaged. Damaged EXIF metadata are left out.

    Args:
        path: a file of one of :data:`~falsr_nas.data.formats.FORMATS`.
        max_pixels: larger images are refused by their header, before anything is decoded.

    Raises:
        DataError: the file is missing, damaged, too large or of another format, holds more than
            one image, or has pixels that would lose bits.
    """
    # Warnings are about damaged metadata and many pixels; damaged pixels raise.
    with warnings.catch_warnings(action="ignore"), open_image(path, max_pixels) as (file, image):
        if len(full_pages(image)) > 1:
            raise ValueError("it holds more than one image")
        refuse_lost_bits(image, file)
        pixels = read_16_bits(image, file) if has_16_bits(image) else _read_8_bits(image)
        return as_photograph(pixels, image, file)


def for_format(photograph: Photograph, name: str, scale: int) -> Photograph:
    """Return a photograph without its alpha channel if the format has none and all is opaque.

    Args:
        photograph: what will be upscaled.
        name: a format of :data:`~falsr_nas.data.formats.WRITTEN`.
        scale: by which it will be upscaled.

    Raises:
        UserError: the format would lose transparency or bits, or the result is too large for it;
            the message says which format to choose.
    """
    height, width = (scale * side for side in photograph.pixels.shape[:2])
    if name in _MAX_SIDE and max(width, height) > _MAX_SIDE[name]:
        raise UserError(
            f"{name} cannot hold an image of {width}x{height} pixels: choose format=png"
        )
    if photograph.bits == 16 and name not in _WITH_16_BITS:
        raise UserError(f"{name} cannot hold 16 bits per channel: choose format=png or tif")
    if not photograph.alpha or name in _WITH_ALPHA:
        return photograph
    if (photograph.pixels[..., -1] < np.iinfo(photograph.pixels.dtype).max).any():
        raise UserError(f"{name} cannot hold transparency: choose format=png, tif or webp")
    return replace(photograph, pixels=photograph.pixels[..., :-1])


def save_photograph(
    photograph: Photograph, path: Path, quality: int, name: str | None = None
) -> list[str]:
    """Write a photograph atomically.

    Args:
        photograph: what :func:`for_format` returned for this format.
        path: the file to write; an existing one is replaced.
        quality: of JPEG and WebP, in 1..100; WebP stays lossless where the photograph was.
        name: the format; None for that of the file's extension.

    Returns:
        The names of metadata that the format cannot hold.

    Raises:
        UserError: the file cannot be written.
    """
    name = name or WRITTEN[path.suffix.lower()]
    metadata, lost = photograph.metadata.fitted(name, photograph.pixels)
    try:
        with open_atomically(path) as file:
            if name == "TIFF":
                write_tiff(file, photograph.pixels, *metadata.tiff_fields())
            elif name == "PNG":
                _write_png(file, photograph.pixels, metadata.png_chunks())
            else:
                # JPEG halves the chroma; enlarged twice or more, it loses none of the photograph's.
                options = metadata.pillow_options()
                _image(photograph.pixels).save(file, name, quality=quality, **options)
    except UserError:
        raise
    except (ValueError, struct.error) as error:  # of Pillow, for unforeseen metadata
        raise UserError(f"cannot write {path}: {error}") from error
    return lost


def _write_png(file: BinaryIO, pixels: Pixels, chunks: Sequence[Chunk]) -> None:
    """Write a PNG file with further chunks behind its first one, for which room is left."""
    for kind, content in chunks:
        putchunk(file, kind, content)
    room = file.tell()
    if pixels.dtype == np.uint16:
        write_16_bit_png(file, pixels)
    else:
        _image(pixels).save(file, "PNG")
    file.seek(0)
    written = file.read(room)
    file.seek(room)
    first = file.read(_PNG_START)
    file.seek(0)
    file.write(first + written)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _read_8_bits(image: ImageFile) -> Pixels:
    if image.format == "PPM" and any(
        isinstance(argument, int) and argument > 255
        for tile in image.tile
        for argument in (tile.args if isinstance(tile.args, tuple) else (tile.args,))
    ):
        raise ValueError("it has more than 8 bits per channel; save it as PNG or TIFF")
    return as_8_bits(image)
