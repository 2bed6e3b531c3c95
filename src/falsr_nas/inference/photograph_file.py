"""Photographs from and to files, with all their bits, transparency, colour profile and camera's notes."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms
from PIL.ImageFile import ImageFile

from falsr_nas.data.images import MAX_PIXELS, open_image
from falsr_nas.errors import UserError
from falsr_nas.files import open_atomically
from falsr_nas.inference.photograph import Photograph, Pixels
from falsr_nas.inference.sixteen_bits import is_deep, read_deep, write_deep_png
from falsr_nas.inference.tiff_file import write_tiff

FORMAT_OF = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".ppm": "PPM",
}
"""The formats that are written, by the file's ending."""

_WITH_ALPHA = {"PNG", "TIFF", "WEBP"}
_WITH_16_BITS = {"PNG", "TIFF"}
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_LONGEST_JPEG_EXIF = 65_533

# A mode of Pillow's -> the one that is upscaled.
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

# What of a camera's notes stays true of the result: who, when, with what. The rest describes how
# the file was laid out.
_KEPT = tuple(
    ExifTags.Base[name].value
    for name in (
        *(
            "ImageDescription",
            "Make",
            "Model",
            "Software",
            "DateTime",
            "Artist",
            "HostComputer",
            "Copyright",
            "Rating",
            "RatingPercent",
        ),
        *(
            "XResolution",
            "YResolution",
            "ResolutionUnit",
            "XPTitle",
            "XPComment",
            "XPAuthor",
            "XPKeywords",
            "XPSubject",
        ),
    )
)
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_WIDTH_NOTE, _HEIGHT_NOTE = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight


def read_photograph(path: Path, max_pixels: int = MAX_PIXELS) -> Photograph:
    """A photograph, turned as its EXIF orientation says.

    Palettes become RGB, and CMYK becomes sRGB by its own profile, if that is sound. Notes of the
    camera that are damaged are left out.

    Args:
        path: a PNG, JPEG, BMP, TIFF, WebP or PPM file.
        max_pixels: larger images are refused by their header, before anything is decoded.

    Raises:
        DataError: when the file is missing, no such image, truncated, too large, more than one
            picture, or has pixels that would lose bits.
    """
    with warnings.catch_warnings(), open_image(path, max_pixels) as (file, image):
        warnings.simplefilter("ignore")  # on damaged notes; what matters raises
        if image.format != "MPO" and getattr(
            image, "is_animated", False
        ):  # MPO: a JPEG with a preview beside it
            raise ValueError("it holds more than one picture")
        profile = image.info.get("icc_profile")
        pixels = read_deep(image, file) if is_deep(image) else _read_8_bits(image)
        notes = image.getexif()  # only now: it may follow the pixels, and Pillow turns some formats by itself while it decodes them
        turned = np.ascontiguousarray(_upright(pixels, notes.get(ExifTags.Base.Orientation)))
        own_colours = isinstance(profile, bytes) and image.mode != "CMYK"
        return Photograph(turned, profile if own_colours else None, _kept(notes))


def for_format(photograph: Photograph, name: str) -> Photograph:
    """The photograph as a format of :data:`FORMAT_OF` can hold it at twice its size: without an alpha channel that hides nothing.

    Raises:
        UserError: when it would lose transparency or bits, or is too large; the message says what
            can hold it.
    """
    height, width, _ = photograph.pixels.shape
    if 2 * max(width, height) > _LONGEST_SIDE.get(name, 2 * max(width, height)):
        raise UserError(
            f"{name} cannot hold an image of {2 * width}x{2 * height} pixels: choose format=png"
        )
    if photograph.bits == 16 and name not in _WITH_16_BITS:
        raise UserError(f"{name} cannot hold 16 bits a channel: choose format=png or tif")
    if not photograph.alpha or name in _WITH_ALPHA:
        return photograph
    if (photograph.pixels[..., -1] < np.iinfo(photograph.pixels.dtype).max).any():
        raise UserError(f"{name} cannot hold transparency: choose format=png, tif or webp")
    return Photograph(photograph.pixels[..., :-1], photograph.profile, photograph.exif)


def save_photograph(photograph: Photograph, path: Path, quality: int) -> None:
    """Write a file in the format of its ending, whole or not at all. BMP and PPM hold no profile and no notes.

    Args:
        photograph: as :func:`for_format` has it.
        path: of the file; one that is there is replaced.
        quality: of JPEG and WebP, 1 to 100.

    Raises:
        UserError: when the file cannot be written.
    """
    name = FORMAT_OF[path.suffix.lower()]
    pixels, profile, exif = photograph.pixels, photograph.profile, _resized(photograph)
    with open_atomically(path) as file:
        if name == "TIFF":
            write_tiff(file, pixels, profile, _all_notes(exif))
        elif photograph.bits == 16:
            write_deep_png(
                file, pixels, profile, exif.tobytes().removeprefix(b"Exif\0\0") if exif else None
            )
        else:
            options: dict[str, Any] = {"quality": quality} if name in _LONGEST_SIDE else {}
            if name in ("PNG", "JPEG", "WEBP"):
                options |= {"icc_profile": profile} if profile else {}
                options |= {"exif": notes} if (notes := _notes_for(exif, name)) else {}
            # JPEG's chroma of half the resolution has the photograph's own: nothing is lost that
            # was there.
            Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(
                file, name, **options
            )


def _read_8_bits(image: ImageFile) -> Pixels:
    if image.format == "PPM" and any(
        isinstance(part, int) and part > 255 for tile in image.tile for part in _arguments(tile)
    ):
        raise ValueError("it has more than 8 bits a channel; save it as PNG or TIFF")
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16 bits a channel")
    if image.mode not in _MODES:
        raise ValueError(f"its colours are of the kind {image.mode}; save it as RGB")
    image.load()
    mode = _MODES[image.mode]
    if image.has_transparency_data and mode in ("L", "RGB"):
        mode += "A"
    still = _from_cmyk(image) if image.mode == "CMYK" else image
    pixels: Pixels = np.asarray(still if still.mode == mode else still.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _arguments(tile: Any) -> tuple[Any, ...]:
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _from_cmyk(image: Image.Image) -> Image.Image:
    """As its profile says, else as JPEG viewers do without one."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes):
        try:
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _upright(pixels: Pixels, orientation: object) -> Pixels:
    """Turned as EXIF's orientation 1 to 8 says; anything else says nothing."""
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _kept(exif: Image.Exif) -> Image.Exif | None:
    """The notes that stay true, if there are any and they are sound."""
    kept = Image.Exif()
    try:
        for tag in _KEPT:
            if tag in exif:
                kept[tag] = exif[tag]
        for directory in _DIRECTORIES:
            # The interoperability directory is an offset into the old file.
            notes = {
                tag: value
                for tag, value in exif.get_ifd(directory).items()
                if tag != ExifTags.IFD.Interop
            }
            if notes:
                kept.get_ifd(directory).update(notes)
        kept.tobytes()
    except Exception:  # as decoders above
        return None
    return kept if _all_notes(kept) else None


def _resized(photograph: Photograph) -> Image.Exif | None:
    """The notes with the sizes of these pixels, where they speak of sizes."""
    if photograph.exif is None:
        return None
    notes = photograph.exif.get_ifd(ExifTags.IFD.Exif)
    height, width, _ = photograph.pixels.shape
    for tag, side in ((_WIDTH_NOTE, width), (_HEIGHT_NOTE, height)):
        if tag in notes:
            notes[tag] = side
    return photograph.exif


def _all_notes(exif: Image.Exif | None) -> dict[int, Any]:
    if exif is None:
        return {}
    return dict(exif) | {
        directory: notes for directory in _DIRECTORIES if (notes := exif.get_ifd(directory))
    }


def _notes_for(exif: Image.Exif | None, name: str) -> bytes | None:
    """As bytes; for JPEG, which has little room, without the maker's private ones or none at all if they are too long."""
    if exif is None or name != "JPEG" or len(exif.tobytes()) <= _LONGEST_JPEG_EXIF:
        return None if exif is None else exif.tobytes()
    exif.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.IFD.MakerNote, None)
    return notes if len(notes := exif.tobytes()) <= _LONGEST_JPEG_EXIF else None
