"""EXIF metadata that is carried over to the upscaled photograph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PIL import ExifTags, Image

# Tags that still hold for the result: who, when and with what. The other tags of the main
# directory describe the layout of the file.
_KEPT = tuple(
    ExifTags.Base[name].value
    for name in (
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
        "XResolution",
        "YResolution",
        "ResolutionUnit",
        "XPTitle",
        "XPComment",
        "XPAuthor",
        "XPKeywords",
        "XPSubject",
    )
)
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_WIDTH, _HEIGHT = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
_MAX_JPEG_BYTES = 65_533


def kept_exif(exif: Image.Exif) -> Image.Exif | None:
    """Return a copy with the metadata that still hold for the upscaled photograph.

    Returns:
        The copy, without the orientation; None if nothing is left, or if it is damaged.
    """
    try:
        kept = _copied(exif, _KEPT)
        kept.tobytes()
    except Exception:  # Pillow raises all kinds of exceptions for damaged metadata
        return None
    return kept if as_mapping(kept) else None


def with_size(exif: Image.Exif, height: int, width: int) -> Image.Exif:
    """Return a copy in which the size of the image, where it is given, is this one."""
    copy = _copied(exif, exif)
    values = copy.get_ifd(ExifTags.IFD.Exif)
    values.update(
        {tag: side for tag, side in ((_WIDTH, width), (_HEIGHT, height)) if tag in values}
    )
    return copy


def as_mapping(exif: Image.Exif | None) -> dict[int, Any]:
    """Return all tags with their values; the value of a nested directory is such a mapping, too."""
    if exif is None:
        return {}
    return dict(exif) | {
        directory: values for directory in _DIRECTORIES if (values := exif.get_ifd(directory))
    }


def as_bytes(exif: Image.Exif | None, name: str) -> bytes | None:
    """Return the metadata as bytes for a file format.

    JPEG has room for 64 KiB only: the maker note is left out if the metadata are longer, and
    everything if they are still too long.

    Args:
        exif: the metadata; its maker note may be removed.
        name: the format, e.g. ``JPEG``.
    """
    if exif is None or name != "JPEG" or len(exif.tobytes()) <= _MAX_JPEG_BYTES:
        return None if exif is None else exif.tobytes()
    exif.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.IFD.MakerNote, None)
    return content if len(content := exif.tobytes()) <= _MAX_JPEG_BYTES else None


def _copied(exif: Image.Exif, tags: Iterable[int]) -> Image.Exif:
    """Copy these tags, and the nested directories without the interoperability directory.

    Its value is an offset into the file that the metadata were read from.
    """
    copy = Image.Exif()
    copy.update({tag: exif[tag] for tag in tags if tag in exif})
    for directory in _DIRECTORIES:
        values = exif.get_ifd(directory)
        if kept := {tag: value for tag, value in values.items() if tag != ExifTags.IFD.Interop}:
            copy.get_ifd(directory).update(kept)
    return copy
