"""EXIF metadata that is carried over to the upscaled photograph, byte for byte."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from io import SEEK_END, BytesIO
from typing import Any, BinaryIO, Literal, TypeAlias

from PIL import ExifTags

Order: TypeAlias = Literal["<", ">"]
"""Of the bytes in numbers, as in :mod:`struct`: maker notes have it, too."""

_ORDERS: tuple[Order, ...] = ("<", ">")

Field: TypeAlias = tuple[int, int, bytes]
"""The type of a tag's values, their number, and the values as in a file."""

Directory: TypeAlias = dict[int, "Field | Directory"]
"""Fields, and nested directories, by their tags."""

Tag, IFD = ExifTags.Base, ExifTags.IFD
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
IPTC = 33723
_BYTES = {1: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, 6: 1, UNDEFINED: 1, 8: 2, 9: 4}
_BYTES |= {10: 8, 11: 4, 12: 8, 129: 1}  # 129 is UTF-8, of EXIF 3

# Tags that still hold for the result: who, when and with what. The other tags of the main
# directory describe the layout of the file, or would have to change with the scale.
_KEPT = {
    *(Tag.DocumentName, Tag.ImageDescription, Tag.Make, Tag.Model, Tag.PageName, Tag.Software),
    *(Tag.DateTime, Tag.Artist, Tag.HostComputer, Tag.Copyright, Tag.Rating, Tag.RatingPercent),
    *(Tag.XResolution, Tag.YResolution, Tag.ResolutionUnit, Tag.WhitePoint),
    *(Tag.PrimaryChromaticities, Tag.ImageID, Tag.CameraSerialNumber, Tag.PrintImageMatching, IPTC),
    *(Tag.XPTitle, Tag.XPComment, Tag.XPAuthor, Tag.XPKeywords, Tag.XPSubject),
    *range(Tag.ExposureTime, Tag.FNumber + 1),
    *range(0x9000, 0x92FF),  # that cameras sometimes write here
}
_NESTED: dict[int, Any] = {IFD.Exif: {IFD.Interop: {}}, IFD.GPSInfo: {}}


@dataclass(frozen=True, slots=True)
class Exif:
    """EXIF metadata without the orientation.

    Attributes:
        order: of the bytes in numbers.
        fields: the main directory.
    """

    order: Order
    fields: Directory

    def tobytes(self) -> bytes:
        """Return the metadata as in JPEG files."""
        return b"Exif\0\0" + head(self.order, 8) + directory_bytes(self.order, self.fields, 8)

    def resized(self, height: int, width: int, *, keeps_maker_note: bool = True) -> Exif:
        """Return a copy in which the size of the image, where it is given, is this one.

        The maker note, which may take most of the space, can be left out.
        """
        inner = self.fields.get(IFD.Exif)
        if not isinstance(inner, dict):
            return self
        sides: dict[int, int] = {Tag.ExifImageWidth: width, Tag.ExifImageHeight: height}
        new = {tag: numbers(self.order, LONG, side) for tag, side in sides.items() if tag in inner}
        kept = {tag: inner[tag] for tag in inner if keeps_maker_note or tag != IFD.MakerNote}
        return replace(self, fields=self.fields | {IFD.Exif: kept | new})

    def with_resolution(self, dpi: tuple[float, float]) -> Exif:
        """Return a copy with a resolution, if it has none."""
        if Tag.XResolution in self.fields:
            return self
        fields: Directory = {Tag.ResolutionUnit: numbers(self.order, SHORT, 2)}  # inch
        for tag, value in zip((Tag.XResolution, Tag.YResolution), dpi, strict=True):
            ratio = Fraction(value).limit_denominator(10_000).as_integer_ratio()
            fields[tag] = numbers(self.order, RATIONAL, *ratio)
        return replace(self, fields=self.fields | fields)


def read_exif(source: BinaryIO | bytes) -> Exif | None:
    """Return the metadata that still hold for the upscaled photograph.

    Args:
        source: a TIFF file, or EXIF metadata with or without the prefix of JPEG files.

    Returns:
        What can be read: damaged fields are left out. None if nothing is left.
    """
    if isinstance(source, bytes):
        source = BytesIO(re.sub(rb"^(Exif\0\0){1,2}", b"", source))
    source.seek(0)
    start = source.read(8)
    for order in _ORDERS:
        if start[:4] == head(order, 0)[:4] and len(start) == 8:
            found = _directory(source, order, struct.unpack(f"{order}I", start[4:])[0], _NESTED)
            fields = {tag: found[tag] for tag in found if tag in _KEPT or tag in _NESTED}
            return Exif(order, fields) if fields else None
    return None


def _directory(file: BinaryIO, order: Order, place: int, nested: Mapping[int, Any]) -> Directory:
    left = end = file.seek(0, SEEK_END)  # a field's bytes belong to no other: no more in all
    file.seek(min(place, end))
    entries = file.read(12 * int.from_bytes(file.read(2), "little" if order == "<" else "big"))
    fields: Directory = {}
    for start in range(0, len(entries) - 11, 12):
        tag, kind, number, inline = struct.unpack_from(f"{order}HHI4s", entries, start)
        (offset,) = struct.unpack(f"{order}I", inline)
        length = _BYTES.get(kind, 0) * number
        if tag in nested:
            if inner := _directory(file, order, offset, nested[tag]):
                fields[tag] = inner
        elif 0 < length <= len(inline):
            fields[tag] = kind, number, inline[:length]
        elif length and offset + length <= end and (left := left - length) >= 0:
            file.seek(offset)
            fields[tag] = kind, number, file.read(length)
    return fields


def numbers(order: Order, kind: int, *values: int) -> Field:
    """Return a field of integers, or of one rational: numerator and denominator."""
    code = "H" if kind == SHORT else "I"
    count = 1 if kind == RATIONAL else len(values)
    return kind, count, struct.pack(f"{order}{len(values)}{code}", *values)


def head(order: Order, place: int) -> bytes:
    """Return the first 8 bytes of a TIFF file whose directory is at a place."""
    return struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, place)


def directory_bytes(order: Order, directory: Directory, place: int) -> bytes:
    """Return a directory, written at a place of a TIFF file, and all that it points to."""
    entries, data, after = b"", b"", place + 2 + 12 * len(directory) + 4
    for tag, field in sorted(directory.items()):
        start = after + len(data)
        if isinstance(field, dict):
            kind, count, content = LONG, 1, directory_bytes(order, field, start)
        else:
            kind, count, content = field
        is_inline = len(content) <= 4
        inline = content.ljust(4, b"\0") if is_inline else struct.pack(f"{order}I", start)
        entries += struct.pack(f"{order}HHI4s", tag, kind, count, inline)
        data += b"" if is_inline else content + b"\0" * (len(content) % 2)
    number = struct.pack(f"{order}H", len(directory))
    return number + entries + struct.pack(f"{order}I", 0) + data
