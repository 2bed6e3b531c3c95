"""The image formats that are read and written, and what other files are."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

_HEIF = {".heic": "HEIF", ".heif": "HEIF"} if find_spec("pillow_heif") else {}

WRITTEN = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".ppm": "PPM",
}
"""The formats that are written, by file extension."""

FORMAT_OF = WRITTEN | {".avif": "AVIF", ".jp2": "JPEG2000", ".tga": "TGA"} | _HEIF
"""The formats that are read, by file extension."""

FORMATS = tuple(dict.fromkeys(FORMAT_OF.values()))
"""The formats that are opened. Pillow's other decoders can run programs (EPS) or are rarely tested
on damaged files."""

MAX_PIXELS = 2**26
"""Pixels that an image may have: 67 megapixels, fewer than those at which Pillow warns; our
choice."""

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx"}


def decoders(head: bytes) -> tuple[str, ...]:
    """Return the formats that a file may have, from its first bytes; loads pillow-heif for HEIC."""
    if not (_HEIF and _is_heic(head)):
        return tuple(name for name in FORMATS if name != "HEIF")
    import_module("pillow_heif").register_heif_opener(thumbnails=False)
    return FORMATS


def why_not_an_image(head: bytes) -> str:
    """Say why a file that no decoder recognises cannot be read, from its first bytes."""
    if not head:
        return "the file is empty"
    if head.startswith(b"GIF8"):
        return "GIF is not supported (animation): save a frame of it as PNG"
    if head[4:8] == b"ftyp":
        if _is_heic(head) and not _HEIF:
            return "HEIC needs pillow-heif: pip install 'falsr-nas[heic]'"
        return "it is a video, or of a format that is not supported"
    names = ", ".join(FORMATS)
    return f"it is not an image, or damaged, or not of a supported format ({names})"


def bits_per_channel(head: bytes) -> int:
    """Return the bits per channel of a JPEG 2000 or AVIF file, of which Pillow keeps only 8.

    Args:
        head: the beginning of the file, all boxes before the pixels.

    Returns:
        At least 8; also where the file does not say it.
    """
    found = [8]
    if (size := head.find(b"\xff\x4f\xff\x51")) >= 0:  # JPEG 2000's SIZ
        found += [(byte & 0x7F) + 1 for byte in head[size + 42 : size + 43]]
    elif (box := head.find(b"pixi")) >= 0:  # AVIF: version, flags, number of channels, their bits
        found += head[box + 9 : box + 10]
    return max(found)


def is_lossy(head: bytes) -> bool:
    """Whether a file is of a format that loses something, as JPEG, from its first bytes."""
    if head[8:12] == b"WEBP":
        return b"VP8L" not in head
    return head.startswith(b"\xff\xd8") or head[4:8] in {b"ftyp", b"jP  "}  # AVIF, HEIC; JPEG 2000


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS
