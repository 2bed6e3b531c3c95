"""Reading and writing of photographs with all their bits, transparency, ICC profile and EXIF."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import open_atomically
from falsr_nas.data.formats import WRITTEN
from falsr_nas.data.images import MAX_PIXELS, open_image, refuse_lost_bits
from falsr_nas.photo.exif import as_bytes, as_mapping, with_size
from falsr_nas.photo.photograph import Photograph, Pixels
from falsr_nas.photo.pillow_image import as_8_bits, as_photograph
from falsr_nas.photo.sixteen_bits import has_16_bits, read_16_bits, write_16_bit_png
from falsr_nas.photo.tiff_file import write_tiff

_WITH_ALPHA = {"PNG", "TIFF", "WEBP"}
_WITH_16_BITS = {"PNG", "TIFF"}
_WITH_METADATA = {"PNG", "TIFF", "JPEG", "WEBP"}
_WITH_QUALITY = {"JPEG", "WEBP"}
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
    with warnings.catch_warnings(), open_image(path, max_pixels) as (file, image):
        warnings.simplefilter("ignore")  # about damaged metadata; damaged pixels raise
        # MPO is a JPEG with a preview as its second image.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise ValueError("it holds more than one image")
        refuse_lost_bits(image, file)
        pixels = read_16_bits(image, file) if has_16_bits(image) else _read_8_bits(image)
        return as_photograph(pixels, image)


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
    return Photograph(photograph.pixels[..., :-1], photograph.profile, photograph.exif)


def save_photograph(photograph: Photograph, path: Path, quality: int) -> None:
    """Write a photograph atomically, in the format of the file's extension.

    BMP and PPM files have no ICC profile and no EXIF.

    Args:
        photograph: what :func:`for_format` returned for this format.
        path: the file to write; an existing one is replaced.
        quality: of JPEG and WebP, in 1..100.

    Raises:
        UserError: the file cannot be written.
    """
    name = WRITTEN[path.suffix.lower()]
    pixels, profile, exif = photograph.pixels, photograph.profile, photograph.exif
    if exif is not None:
        exif = with_size(exif, *pixels.shape[:2])
    with open_atomically(path) as file:
        if name == "TIFF":
            write_tiff(file, pixels, profile, as_mapping(exif))
        elif photograph.bits == 16:
            content = None if exif is None else exif.tobytes().removeprefix(b"Exif\0\0")
            write_16_bit_png(file, pixels, profile, content)
        else:
            options: dict[str, Any] = {"quality": quality} if name in _WITH_QUALITY else {}
            if name in _WITH_METADATA:
                options |= {"icc_profile": profile} if profile else {}
                options |= {"exif": content} if (content := as_bytes(exif, name)) else {}
            # JPEG halves the chroma; enlarged twice or more, it loses none of the photograph's own.
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            image.save(file, name, **options)


def _read_8_bits(image: ImageFile) -> Pixels:
    if image.format == "PPM" and any(
        isinstance(argument, int) and argument > 255
        for tile in image.tile
        for argument in (tile.args if isinstance(tile.args, tuple) else (tile.args,))
    ):
        raise ValueError("it has more than 8 bits per channel; save it as PNG or TIFF")
    return as_8_bits(image)
