"""What a photograph's file carries besides pixels is in the file of the result, or named."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from falsr_nas.data.images import read_image
from falsr_nas.photo.exif import directory_bytes, head, read_exif
from falsr_nas.photo.icc import profile_of
from falsr_nas.photo.metadata import Metadata
from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.photograph_file import read_photograph, save_photograph
from photo.photographs import EXIF, PROFILE, noise, saved

XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:title>Fête</dc:title></x:xmpmeta>'.encode()
IPTC = b"\x1c\x02\x69\x00\x05Titre\x1c\x02\x78\x00\x04Z\xc3\xbcr"
TEXTS = {0x010E: "夏祭り、東京", 0x013B: "Zoë Müller", 0x8298: "© 2026 Zoë"}
EXIF_ENDINGS = ("png", "jpg", "tif", "webp")


def text(value: str, kind: int = 2) -> tuple[int, int, bytes]:
    content = value.encode() + b"\0"
    return kind, len(content), content


def exif_bytes(order: str, fields: dict) -> bytes:
    return b"Exif\0\0" + head(order, 8) + directory_bytes(order, fields, 8)


def resaved(path: Path, ending: str) -> tuple[Path, list[str]]:
    target = path.with_name(f"result.{ending}")
    return target, save_photograph(read_photograph(path), target, 95)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    content = io.BytesIO()
    Image.fromarray(noise(5, 7, 3)).save(content, "PNG")
    start, rest = content.getvalue()[:33], content.getvalue()[33:]
    path.write_bytes(start + b"".join(chunk(*one) for one in chunks) + rest)
    return path


def chunks_of(path: Path) -> list[tuple[bytes, bytes]]:
    content, place, found = path.read_bytes(), 8, []
    while place < len(content):
        size = int.from_bytes(content[place : place + 4])
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("ending", EXIF_ENDINGS)
def test_exif_is_kept_byte_for_byte(order: str, ending: str, tmp_path: Path) -> None:
    note = 7, 9, bytes(range(200, 209))
    inner = {0x9003: text("2026:01:02 03:04:05"), 0x927C: note, 0x9286: (7, 8, b"UNICODE\0")}
    interoperability = {1: text("R03")}  # Adobe RGB
    fields = {tag: text(value) for tag, value in TEXTS.items()}
    fields |= {0x010F: text("Ünïcode 3", 129), EXIF: inner | {0xA005: interoperability}}
    path = saved(
        tmp_path / "a.jpg", Image.fromarray(noise(5, 7, 3)), exif=exif_bytes(order, fields)
    )
    found = read_photograph(resaved(path, ending)[0]).metadata.exif
    assert (found.order, found.fields) == (order, fields)


def test_one_bad_field_costs_no_other(tmp_path: Path) -> None:
    content = bytearray(exif_bytes("<", {tag: text(value) for tag, value in TEXTS.items()}))
    content += exif_bytes("<", {})
    struct.pack_into("<I", content, 6 + 8 + 2 + 12 + 8, 2**31)  # the artist
    path = saved(tmp_path / "a.jpg", Image.fromarray(noise(5, 7, 3)), exif=bytes(content))
    fields = read_photograph(resaved(path, "png")[0]).metadata.exif.fields
    assert fields == {tag: text(TEXTS[tag]) for tag in (0x010E, 0x8298)}
    struct.pack_into("<H", content, 6 + 8 + 2 + 2, 77)  # no such type
    assert read_exif(bytes(content)).fields == {0x8298: text(TEXTS[0x8298])}


@pytest.mark.parametrize("ending", EXIF_ENDINGS)
@pytest.mark.parametrize("source", ["jpg", "png", "tif", "webp"])
def test_xmp_iptc_and_resolution(source: str, ending: str, tmp_path: Path) -> None:
    carried = Metadata(PROFILE, xmp=XMP, iptc=IPTC, dpi=(300, 240))
    path = tmp_path / f"a.{source}"
    lost = save_photograph(Photograph(noise(5, 7, 3), carried), path, 95)
    assert lost == (["IPTC"] if source == "webp" else [])
    target, lost = resaved(path, ending)
    assert lost == (["IPTC"] if ending == "webp" and source != "webp" else [])
    with Image.open(target) as image:
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"].rstrip(b"\0") == XMP
        exif = image.getexif()
        dpi = (exif[0x011A], exif[0x011B]) if ending == "webp" else image.info["dpi"]
        assert dpi == pytest.approx((300, 240), abs=0.01)
    kept = None if "webp" in (source, ending) else IPTC
    assert read_photograph(target).metadata.iptc == kept


def test_orientation_in_xmp_is_applied_once(tmp_path: Path) -> None:
    turned = b'<rdf:Description tiff:Orientation="6" xmp:Rating="4"/>'
    path = saved(tmp_path / "a.jpg", Image.fromarray(noise(5, 7, 3)), xmp=turned)
    found = read_photograph(path)
    assert found.pixels.shape == (7, 5, 3)
    assert found.metadata.xmp == turned.replace(b"6", b"1", 1)


def test_texts_of_a_png_of_any_length(tmp_path: Path) -> None:
    long = b"workflow\0\0" + zlib.compress(b'{"node": 1}, ' * 150_000)
    profile = b"name\0\0" + zlib.compress(bytes(2_000_000))
    unit = struct.pack(">IIB", 2, 1, 0)  # pixels twice as high as wide
    given = [(b"iCCP", profile), (b"pHYs", unit), (b"zTXt", long), (b"tEXt", b"Author\0Zo\xeb")]
    path = png(tmp_path / "a.png", *given)
    target, lost = resaved(path, "png")
    assert lost == []
    assert [one for one in chunks_of(target) if one in given] == given[1:]
    assert read_photograph(target).metadata.profile == bytes(2_000_000)
    assert resaved(path, "jpg")[1] == ["texts"]
    assert np.array_equal(read_image(path).permute(1, 2, 0), noise(5, 7, 3))
    content = path.read_bytes().replace(b"workflow", b"workfl0w")  # its checksum is wrong now
    path.write_bytes(content)
    assert b"zTXt" not in dict(chunks_of(resaved(path, "png")[0]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_of_a_png(dtype: type, tmp_path: Path) -> None:
    colours = (
        (b"cICP", bytes([9, 16, 0, 1])),
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"mDCV", bytes(24)),
    )
    path = tmp_path / "a.png"
    save_photograph(Photograph(noise(5, 7, 3, dtype), Metadata(colours=colours)), path, 95)
    assert tuple(chunks_of(resaved(path, "png")[0])[1:4]) == colours
    assert resaved(path, "tif")[1] == ["colours named by numbers"]  # no profile describes HDR


@pytest.mark.parametrize(
    ("chunks", "pixel", "srgb"),
    [
        ({b"gAMA": struct.pack(">I", 100_000)}, (55, 128, 255), (128, 188, 255)),  # linear light
        ({b"cICP": bytes([12, 13, 0, 1])}, (234, 51, 35), (255, 0, 0)),  # P3: red of sRGB
        ({b"cICP": bytes([12, 13, 0, 1])}, (117, 251, 76), (0, 255, 0)),
        (
            {
                b"gAMA": struct.pack(">I", 45455),
                b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000),
            },
            (128, 128, 128),
            (128, 128, 128),
        ),
    ],
)
def test_colours_become_a_profile(chunks: dict, pixel: tuple, srgb: tuple, tmp_path: Path) -> None:
    pixels = np.full((4, 4, 3), pixel, np.uint8)
    carried = Metadata(colours=tuple(chunks.items()))
    save_photograph(Photograph(pixels, carried), tmp_path / "a.tif", 95)
    with Image.open(tmp_path / "a.tif") as image:
        profile = io.BytesIO(image.info["icc_profile"])
        shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(shown)[0, 0].astype(int) - srgb).max() <= 3


def test_grey_and_plain_colours() -> None:
    linear = {b"gAMA": struct.pack(">I", 100_000)}
    profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_of(linear, is_grey=True))).profile
    assert profile.xcolor_space.strip() == "GRAY"
    for plain in ({b"sRGB": b"\0", **linear}, {b"gAMA": struct.pack(">I", 45455)}, {}):
        assert profile_of(plain, is_grey=False) == b""
    for damaged in ({b"gAMA": bytes(4)}, {b"cHRM": bytes(32)}, {b"cICP": b""}):
        assert profile_of(damaged, is_grey=False) is None


def test_lossless_webp_stays_lossless(tmp_path: Path) -> None:
    pixels = noise(6, 9, 4)
    for profile in ({}, {"icc_profile": bytes(999)}):
        path = tmp_path / "a.webp"
        Image.fromarray(pixels).save(path, lossless=True, exact=True, **profile)
        assert np.array_equal(read_photograph(resaved(path, "webp")[0]).pixels, pixels)
    Image.fromarray(pixels).save(path, quality=50)
    assert not read_photograph(path).metadata.is_lossless


def test_what_a_format_cannot_hold_is_named(tmp_path: Path) -> None:
    exif = read_exif(exif_bytes("<", {0x010E: text("a")}))
    carried = Metadata(PROFILE, exif, XMP * 1000, IPTC, (300, 300), b"remark")
    photograph = Photograph(noise(5, 7, 3), carried)
    assert save_photograph(photograph, tmp_path / "a.png", 95) == []
    assert save_photograph(photograph, tmp_path / "a.jpg", 95) == ["XMP"]  # longer than a segment
    assert save_photograph(photograph, tmp_path / "a.bmp", 95) == [
        *("ICC profile", "EXIF", "XMP", "IPTC", "comment")
    ]
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["comment"] == b"remark"
    with Image.open(tmp_path / "a.bmp") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)
