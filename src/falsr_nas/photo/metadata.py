"""What a photograph carries besides its pixels, and what each format has room for."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from io import SEEK_CUR
from re import sub
from typing import Any, BinaryIO

from numpy.typing import NDArray
from PIL import Image

from falsr_nas.data.png_chunks import CHUNKS, XMP, Chunk
from falsr_nas.photo.exif import IPTC, UNDEFINED, Directory, Exif, Order, Tag, read_exif
from falsr_nas.photo.icc import profile_of

_COLOURS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI")
_XMP_TAG = 700
_8BIM = b"8BIM\x04\x04\0\0"  # IPTC among the resources of Photoshop, where JPEG files have it

_NAMES = {
    "profile": "ICC profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "iptc": "IPTC",
    "dpi": "resolution",
    "comment": "comment",
    "texts": "texts",
    "colours": "colours named by numbers",
}
_CARRIED = {
    "PNG": set(_NAMES),
    "TIFF": {"profile", "exif", "xmp", "iptc", "dpi"},
    "JPEG": {"profile", "exif", "xmp", "iptc", "dpi", "comment"},
    "WEBP": {"profile", "exif", "xmp", "dpi"},
    "BMP": {"dpi"},
    "PPM": set[str](),
}
# Bytes in JPEG's segments; Pillow writes an ICC profile to up to 255 of them.
_MOST = {"exif": 65_533, "xmp": 65_504, "iptc": 65_500, "comment": 65_533, "profile": 255 * 65_519}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What still holds for the upscaled photograph.

    Attributes:
        profile: the ICC colour profile.
        exif: EXIF metadata without the orientation.
        xmp: an XMP packet.
        iptc: records of IPTC-IIM.
        dpi: pixels per inch across and down.
        comment: of a JPEG file.
        texts: chunks of a PNG file that have no place elsewhere.
        colours: chunks of a PNG file that say what its colours are.
        is_lossless: whether it was a WebP file that keeps all pixels as they are.
    """

    profile: bytes | None = None
    exif: Exif | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    texts: tuple[Chunk, ...] = ()
    colours: tuple[Chunk, ...] = ()
    is_lossless: bool = False

    def fitted(self, name: str, pixels: NDArray[Any]) -> tuple[Metadata, list[str]]:
        """Return what a file of these pixels can hold, and the names of what it cannot.

        Args:
            name: the format. Where it has no place for colours that are named by numbers, they
                become an ICC profile.
            pixels: (H, W, channels).
        """
        height, width, channels = pixels.shape
        fit = replace(self, exif=self.exif and self.exif.resized(height, width))
        lost: list[str] = []
        if self.colours and name != "PNG":
            profile = self.profile or profile_of(dict(self.colours), channels < 3)
            if profile is not None:
                fit = replace(fit, profile=profile or None, colours=())
        if name in ("TIFF", "WEBP") and self.dpi:
            fit = replace(fit, exif=(fit.exif or Exif("<", {})).with_resolution(self.dpi))
        if name == "JPEG" and fit.exif and len(fit.exif.tobytes()) > _MOST["exif"]:
            fit = replace(fit, exif=fit.exif.resized(height, width, keeps_maker_note=False))
            lost.append("EXIF maker note")
        for field, words in _NAMES.items():
            value = fit.exif.tobytes() if field == "exif" and fit.exif else getattr(fit, field)
            too_long = name == "JPEG" and value and len(value) > _MOST.get(field, len(value))
            if value and (field not in _CARRIED[name] or too_long):
                lost.append(words)
                nothing: Any = () if isinstance(value[0], tuple) else None
                fit = replace(fit, **{field: nothing})
        return fit, lost

    def pillow_options(self) -> dict[str, Any]:
        """Return the options with which Pillow writes all this, except to PNG files."""
        options = {
            "icc_profile": self.profile,
            "exif": self.exif and self.exif.tobytes(),
            "xmp": self.xmp,
            "dpi": self.dpi,
            "comment": self.comment,
            "extra": self.iptc and _segment(self.iptc),
            "lossless": self.is_lossless,
            "exact": self.is_lossless,
        }
        return {name: value for name, value in options.items() if value}

    def tiff_fields(self) -> tuple[Order, Directory]:
        """Return byte order and fields of a TIFF file."""
        exif = self.exif or Exif("<", {})
        blobs = {Tag.InterColorProfile: self.profile, _XMP_TAG: self.xmp, IPTC: self.iptc}
        fields = {tag: (UNDEFINED, len(blob), blob) for tag, blob in blobs.items() if blob}
        return exif.order, exif.fields | fields

    def png_chunks(self) -> list[Chunk]:
        """Return the chunks of a PNG file, which come after its first one."""
        chunks = []
        if self.profile:
            chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(self.profile)))
        if self.exif:
            chunks.append((b"eXIf", self.exif.tobytes()[6:]))
        chunks += self.colours
        if self.dpi:
            x, y = (round(value / 0.0254) for value in self.dpi)
            chunks.append((b"pHYs", struct.pack(">IIB", x, y, 1)))
        if self.xmp:
            chunks.append((b"iTXt", XMP + bytes(5) + self.xmp))
        if self.iptc:
            resource = _resource(self.iptc)
            text = b"\niptc\n%8d\n%s\n" % (len(resource), resource.hex("\n", -36).encode())
            chunks.append((b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)))
        if self.comment:
            chunks.append((b"tEXt", b"Comment\0" + self.comment))
        return [*chunks, *self.texts]


def metadata_of(image: Image.Image, file: BinaryIO | None = None) -> Metadata:
    """Return the metadata of an image that is decoded.

    Args:
        image: of Pillow; its ``info`` may also have what
            :func:`~falsr_nas.data.png_chunks.without_metadata` found.
        file: from which it was read.
    """
    info: dict[Any, Any] = image.info
    profile, exif, iptc, dpi = info.get("icc_profile"), None, None, _dpi(info.get("dpi"))
    if image.format in ("JPEG", "MPO") and not info.get("jfif_unit"):
        dpi = None  # Pillow has 72 where there is none
    with suppress(Exception):  # Pillow raises all kinds of exceptions for damaged metadata
        tags = image.getexif()
        inches = {2: 1.0, 3: 2.54}.get(tags.get(Tag.ResolutionUnit, 2), 0)
        dpi = dpi or _dpi([inches * tags.get(tag, 0) for tag in (Tag.XResolution, Tag.YResolution)])
        content = info.get("exif") or tags.tobytes()
        exif = read_exif(file if file is not None and image.format == "TIFF" else content)
    if exif is not None and isinstance(field := exif.fields.pop(IPTC, None), tuple):
        iptc = field[2]
    chunks, xmp, photoshop = info.get(CHUNKS, ()), info.get("xmp"), info.get("photoshop", {})
    return Metadata(
        profile=profile if isinstance(profile, bytes) and image.mode != "CMYK" else None,
        exif=exif if exif is not None and exif.fields else None,
        # Viewers apply the orientation of XMP, too.
        xmp=sub(rb"""(tiff:Orientation(?:=["']|>))[2-8]""", rb"\g<1>1", _bytes(xmp)) or None,
        iptc=iptc or photoshop.get(0x0404) or _iptc(info.get("iptc")),
        dpi=dpi,
        comment=_bytes(info.get("comment")) or None,
        texts=tuple(chunk for chunk in chunks if chunk[0] not in _COLOURS),
        colours=tuple(chunk for chunk in chunks if chunk[0] in _COLOURS),
        is_lossless=file is not None and image.format == "WEBP" and _is_lossless(file),
    )


def _bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value if isinstance(value, bytes) else b""


def _dpi(value: object) -> tuple[float, float] | None:
    """Return a resolution that all formats can hold, or None."""
    with suppress(TypeError, ValueError, ArithmeticError):
        x, y = map(float, value)  # type: ignore[call-overload]
        if 1 <= x < 2**16 and 1 <= y < 2**16:
            return x, y
    return None


def _resource(iptc: bytes) -> bytes:
    return _8BIM + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def _iptc(content: bytes | None) -> bytes | None:
    """Return the records in a profile of ImageMagick, which may be a resource of Photoshop."""
    is_resource = content is not None and content.startswith(_8BIM)
    return content[12 : 12 + int.from_bytes(content[8:12])] if content and is_resource else content


def _segment(iptc: bytes) -> bytes:
    content = b"Photoshop 3.0\0" + _resource(iptc)
    return struct.pack(">HH", 0xFFED, 2 + len(content)) + content


def _is_lossless(file: BinaryIO) -> bool:
    file.seek(12)
    while len(header := file.read(8)) == 8:
        kind, size = struct.unpack("<4sI", header)
        if kind in (b"VP8 ", b"VP8L"):
            return bool(kind == b"VP8L")
        file.seek(size + size % 2, SEEK_CUR)
    return False
