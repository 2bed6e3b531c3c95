"""Images of Pillow as photographs, and back."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

from falsr_nas.core.errors import UserError
from falsr_nas.data.images import refuse_32_bits
from falsr_nas.photo.metadata import metadata_of
from falsr_nas.photo.photograph import Photograph, Pixels

# The mode of an image in Pillow -> the mode that is upscaled.
_MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
    "CMYK": "RGB",
}


def from_pillow(image: Image.Image) -> Photograph:
    """Return an image of Pillow as a photograph, as a file of it would be read.

    Raises:
        UserError: its file is damaged, or its pixels have 32 bits or another mode.
    """
    try:
        grey_16 = image.mode.startswith("I;16")
        pixels = np.asarray(image)[..., None].astype(np.uint16) if grey_16 else as_8_bits(image)
        return as_photograph(pixels, image)
    except Exception as error:  # Pillow raises all kinds of exceptions for damaged files
        raise UserError(f"the image cannot be upscaled: {error}") from error


def to_pillow(photograph: Photograph) -> Image.Image:
    """Return a photograph as an image of Pillow, with its metadata in its ``info``.

    Raises:
        UserError: it has 16 bits and more than one channel.
    """
    pixels = photograph.pixels
    if photograph.bits == 16 and pixels.shape[2] > 1:
        raise UserError(
            "Pillow has no images of 16 bits with more than one channel: give an array, or use"
            " falsr_nas.upscale with an output, which writes a file"
        )
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.info.update(photograph.metadata.fitted("TIFF", pixels)[0].pillow_options())
    return image


def as_photograph(pixels: Pixels, image: Image.Image, file: BinaryIO | None = None) -> Photograph:
    """Return the pixels of an image, once they are decoded, with its orientation and metadata.

    The metadata of some formats are read from its file.
    """
    # Only after decoding: EXIF may follow the pixels, and Pillow applies the orientation of some
    # formats while it decodes them.
    orientation = None
    with suppress(Exception):  # Pillow raises all kinds of exceptions for damaged metadata
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    return Photograph(
        np.ascontiguousarray(_oriented(pixels, orientation)), metadata_of(image, file)
    )


def as_8_bits(image: Image.Image) -> Pixels:
    """Return the pixels of an image with 8 bits or less per channel: (H, W, channels) uint8.

    Raises:
        ValueError: it has more bits, or a mode that is not supported.
    """
    refuse_32_bits(image)
    if image.mode not in _MODES:
        raise ValueError(f"its colour mode {image.mode} is not supported; save it as RGB")
    image.load()
    mode = _MODES[image.mode]
    if image.has_transparency_data and mode in ("L", "RGB"):
        mode += "A"
    converted = _from_cmyk(image) if image.mode == "CMYK" else image
    pixels: Pixels = np.asarray(converted if converted.mode == mode else converted.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _from_cmyk(image: Image.Image) -> Image.Image:
    """Convert to RGB by the image's ICC profile, or as JPEG viewers do without one."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes):
        with suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
    return image.convert("RGB")


def _oriented(pixels: Pixels, orientation: object) -> Pixels:
    """Apply EXIF's orientation 1..8; other values are ignored."""
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
