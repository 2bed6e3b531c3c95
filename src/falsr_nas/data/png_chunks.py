"""Metadata of PNG files, read without Pillow, which refuses files with long ones."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import SEEK_END, BytesIO
from typing import Any, BinaryIO, TypeAlias

Chunk: TypeAlias = tuple[bytes, bytes]
"""The type of a chunk, and its content."""

CHUNKS = "png_chunks"
"""Name in an image's ``info`` of the chunks that have no name there of their own."""

XMP = b"XML:com.adobe.xmp"
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_TAKEN = _TEXTS | {b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs"}
_LONGEST = 2**26  # bytes of metadata that are decompressed; our choice
_RAW = {b"exif": "exif", b"APP1": "exif", b"iptc": "iptc", b"xmp": "xmp"}  # ImageMagick's names


def without_metadata(file: BinaryIO) -> tuple[BinaryIO, dict[str, Any]]:
    """Return a PNG file without metadata, and these as in the ``info`` of an image of Pillow.

    Damaged metadata are left out.
    """
    end = file.seek(0, SEEK_END)
    taken: list[Chunk] = []
    kept, start, place = [], 0, 8
    while place + 12 <= end:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        after = place + 12 + length
        if kind in _TAKEN and after <= end:
            kept.append((start, place))
            start = after
            body = file.read(length)
            if file.read(4) == zlib.crc32(kind + body).to_bytes(4):
                taken.append((kind, body))
        place = after
    file.seek(0)
    if not kept:
        return file, {}
    content = memoryview(file.read())
    parts = [content[first:last] for first, last in [*kept, (start, end)]]
    return BytesIO(b"".join(parts)), _info(taken)


def _info(chunks: list[Chunk]) -> dict[str, Any]:
    info: dict[str, Any] = {}
    others = []
    for kind, body in chunks:
        with suppress(ValueError, IndexError, zlib.error):
            if not (known := _known(kind, body)):
                others.append((kind, body))
            info |= known
    return info | {CHUNKS: tuple(others)}


def _known(kind: bytes, body: bytes) -> dict[str, Any]:
    """Return what Pillow has a name for."""
    if kind == b"pHYs":
        x, y, unit = struct.unpack(">IIB", body[:9].ljust(9, b"\0"))
        return {"dpi": (0.0254 * x, 0.0254 * y)} if unit == 1 else {}
    name, _, text = body.partition(b"\0")
    raw = name.removeprefix(b"Raw profile type ")
    if kind == b"iCCP":
        return {"icc_profile": _inflated(text[1:])}
    if kind not in _TEXTS or (name != XMP and (name == raw or raw not in _RAW)):
        return {}
    is_deflated = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
    text = text[2:].split(b"\0", 2)[2] if kind == b"iTXt" else text[kind == b"zTXt" :]
    text = _inflated(text) if is_deflated else text
    if name == XMP:
        return {"xmp": text}
    return {_RAW[raw]: bytes.fromhex(text.split(b"\n", 3)[3].decode("ascii"))}


def _inflated(content: bytes) -> bytes:
    whole = zlib.decompressobj()
    text = whole.decompress(content, _LONGEST)
    if not whole.eof:
        raise ValueError("too long, or cut short")
    return text
