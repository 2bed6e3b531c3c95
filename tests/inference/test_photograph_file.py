"""Photograph files keep bits, transparency, orientation, profile and EXIF, or are refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from falsr_nas.data.errors import DataError
from falsr_nas.errors import UserError
from falsr_nas.inference.photograph import Photograph
from falsr_nas.inference.photograph_file import for_format, read_photograph, save_photograph

ORIENTATION = 0x0112
EXIF, GPS = 0x8769, 0x8825
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height: int, width: int, channels: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(channels).integers(
        0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype
    )


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def metadata(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F], exif[0x8298], exif[0x011A] = "Maker", "(c) me", 300.0
    exif.get_ifd(EXIF).update(
        {0x9003: "2024:05:06 07:08:09", 0x829A: 0.005, 0xA002: 7, 0xA003: 5, 0x927C: b"private"}
    )
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return exif


# The passes of interlaced PNG: first row, first column, step down, step across.
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def png(
    pixels: np.ndarray,
    filters: tuple[int, ...] = (0,),
    *,
    interlaced: bool = False,
    extra: bytes = b"",
) -> bytes:
    height, width, channels = pixels.shape
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    body = b""
    for top, left, down, across in passes:
        part = pixels[top::down, left::across]
        rows = [row.astype(">u2").tobytes() for row in part] if part.size else []
        body += b"".join(filtered(rows, filters, 2 * channels))
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def paeth(a: int, b: int, c: int) -> int:
    return min((a, b, c), key=lambda x: abs(a + b - c - x))


def filtered(rows: list[bytes], filters: tuple[int, ...], step: int) -> list[bytes]:
    """Apply filter ``i mod len(filters)`` to row i."""
    above, found = bytes(len(rows[0]) if rows else 0), []
    for i, row in enumerate(rows):
        kind = filters[i % len(filters)]
        line = bytearray([kind])
        for x, value in enumerate(row):
            a, b, c = (
                (row[x - step] if x >= step else 0),
                above[x],
                (above[x - step] if x >= step else 0),
            )
            line.append((value - (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) % 256)
        found.append(bytes(line))
        above = row
    return found


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_png_is_read_exactly(channels: int, interlaced: bool, tmp_path: Path) -> None:
    pixels = noise(11, 13, channels, np.uint16)
    (tmp_path / "a.png").write_bytes(png(pixels, (0, 1, 2, 3, 4), interlaced=interlaced))
    found = read_photograph(tmp_path / "a.png")
    assert found.bits == 16
    assert np.array_equal(found.pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_colour_of_a_16_bit_png(channels: int, tmp_path: Path) -> None:
    pixels = noise(4, 5, channels, np.uint16)
    pixels[1, 2] = pixels[3, 0] = pixels[0, 0]
    (tmp_path / "a.png").write_bytes(
        png(pixels, extra=chunk(b"tRNS", pixels[0, 0].astype(">u2").tobytes()))
    )
    found = read_photograph(tmp_path / "a.png").pixels
    assert np.array_equal(found[..., :-1], pixels)
    assert np.argwhere(found[..., -1] != 65535).tolist() == [[0, 0], [1, 2], [3, 0]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_is_written_to_the_standard(channels: int, tmp_path: Path) -> None:
    pixels = noise(150, 9, channels, np.uint16)
    path = tmp_path / "a.png"
    save_photograph(Photograph(pixels, PROFILE, metadata()), path, 95)
    content, place, data, kinds = path.read_bytes(), 8, b"", []
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        body = content[place + 8 : place + 8 + length]
        assert content[place + 8 + length : place + 12 + length] == struct.pack(
            ">I", zlib.crc32(kind + body)
        )
        data += body if kind == b"IDAT" else b""
        kinds.append(kind)
        place += 12 + length
    assert kinds[:3] == [b"IHDR", b"iCCP", b"eXIf"] and kinds[-1] == b"IEND"
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(150, -1)
    assert (rows[:, 0] == 2).all()
    assert np.array_equal(
        np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8).view(">u2").reshape(pixels.shape), pixels
    )
    assert np.array_equal(read_photograph(path).pixels, pixels)


def tiff(path: Path, pixels: np.ndarray, **options) -> Path:
    channels = pixels.shape[2]
    kind = {"photometric": "rgb" if channels > 2 else "minisblack"} | options
    tifffile.imwrite(
        path,
        pixels[..., 0] if channels == 1 else pixels,
        extrasamples=["unassalpha"] if channels == 4 else None,
        **kind,
    )
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
    ],
)
def test_16_bit_tiff_is_read_exactly(channels: int, options: dict, tmp_path: Path) -> None:
    pixels = noise(21, 18, channels, np.uint16)
    found = read_photograph(tiff(tmp_path / "a.tif", pixels, **options))
    assert np.array_equal(found.pixels, pixels)


def test_miniswhite_is_inverted(tmp_path: Path) -> None:
    pixels = noise(5, 6, 1, np.uint16)
    assert np.array_equal(
        read_photograph(tiff(tmp_path / "a.tif", pixels, photometric="miniswhite")).pixels,
        65535 - pixels,
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("height", [1, 64, 150])
def test_tiff_is_read_by_tifffile(channels: int, dtype: type, height: int, tmp_path: Path) -> None:
    pixels = noise(height, 9, channels, dtype)
    path = tmp_path / "a.tif"
    save_photograph(Photograph(pixels, PROFILE, metadata()), path, 95)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert np.array_equal(page.asarray().reshape(pixels.shape), pixels)
        assert page.tags[34675].value == PROFILE
        assert page.tags["ExifTag"].value["DateTimeOriginal"] == "2024:05:06 07:08:09"
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"
    if (channels, dtype) != (2, np.uint16):  # Pillow cannot read this one
        assert np.array_equal(read_photograph(path).pixels, pixels)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(ending: str, orientation: int, tmp_path: Path) -> None:
    path = saved(
        tmp_path / f"a.{ending}", Image.fromarray(noise(5, 7, 3)), exif=metadata(orientation)
    )
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    found = read_photograph(path)
    assert np.array_equal(found.pixels, expected)
    assert found.pixels.shape[:2] == ((7, 5) if orientation > 4 else (5, 7))
    save_photograph(found, tmp_path / "b.png", 95)
    with Image.open(tmp_path / "b.png") as image:
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert np.array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("orientation", [6, 7])
def test_orientation_of_16_bit_files_is_applied_once(orientation: int, tmp_path: Path) -> None:
    """Compare with the high bytes, which Pillow turns."""
    for channels in (1, 3):
        pixels = noise(5, 7, channels, np.uint16)
        deep = tiff(tmp_path / "a.tif", pixels, extratags=[(ORIENTATION, "H", 1, orientation)])
        high = Image.fromarray((pixels >> 8).astype(np.uint8).squeeze())
        expected = read_photograph(
            saved(tmp_path / "b.png", high, exif=metadata(orientation))
        ).pixels
        found = read_photograph(deep).pixels
        assert np.array_equal(found >> 8, expected)
        save_photograph(Photograph(pixels, exif=None), tmp_path / "c.png", 95)
        content = (tmp_path / "c.png").read_bytes()
        (tmp_path / "c.png").write_bytes(
            content[:33] + chunk(b"eXIf", metadata(orientation).tobytes()[6:]) + content[33:]
        )
        assert np.array_equal(read_photograph(tmp_path / "c.png").pixels, found)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_profile_and_exif_are_kept(ending: str, tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.jpg", Image.fromarray(noise(5, 7, 3)), exif=metadata(6), icc_profile=PROFILE
    )
    photograph = read_photograph(path)
    assert photograph.profile == PROFILE
    larger = Photograph(noise(14, 10, 3), photograph.profile, photograph.exif)
    save_photograph(larger, tmp_path / f"b.{ending}", 95)
    with Image.open(tmp_path / f"b.{ending}") as image:
        assert image.info["icc_profile"] == PROFILE
        exif = image.getexif()
        assert (exif[0x010F], exif[0x8298], float(exif[0x011A])) == ("Maker", "(c) me", 300)
        inner = exif.get_ifd(EXIF)
        assert inner[0x9003] == "2024:05:06 07:08:09"
        assert float(inner[0x829A]) == pytest.approx(0.005)
        assert inner[0x927C] == b"private"
        assert (inner[0xA002], inner[0xA003]) == (10, 14)
        assert exif.get_ifd(GPS) == {1: "N", 2: (48.0, 51.0, 30.0)}
        assert exif.get(ORIENTATION, 1) == 1


def test_exif_too_long_for_jpeg_loses_the_maker_note(tmp_path: Path) -> None:
    exif = metadata()
    exif.get_ifd(EXIF)[0x927C] = bytes(70_000)
    photograph = read_photograph(
        saved(tmp_path / "a.png", Image.fromarray(noise(5, 7, 3)), exif=exif)
    )
    save_photograph(photograph, tmp_path / "b.jpg", 95)
    kept = Image.open(tmp_path / "b.jpg").getexif()
    assert kept[0x010F] == "Maker"
    assert 0x927C not in kept.get_ifd(EXIF)


def test_nested_exif_directories_alone_are_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(EXIF)[0x9003] = "2024:05:06 07:08:09"
    for dtype, extension in ((np.uint8, "png"), (np.uint16, "png"), (np.uint8, "tif")):
        path = tmp_path / f"a.{extension}"
        save_photograph(Photograph(noise(5, 7, 3, dtype), exif=exif), path, 95)
        with Image.open(path) as image:
            assert image.getexif().get_ifd(EXIF)[0x9003] == "2024:05:06 07:08:09"


def test_saving_does_not_change_the_photograph(tmp_path: Path) -> None:
    exif = metadata()
    exif.get_ifd(EXIF)[0x927C] = bytes(70_000)
    before = dict(exif.get_ifd(EXIF))
    save_photograph(Photograph(noise(6, 8, 3), exif=exif), tmp_path / "a.jpg", 95)
    assert exif.get_ifd(EXIF) == before


def test_damaged_exif_does_not_refuse_the_photograph(tmp_path: Path) -> None:
    image = Image.fromarray(noise(5, 7, 3))
    content = bytearray(metadata(3).tobytes())
    for i in range(40, len(content), 7):
        content[i] = 0xFF
    assert read_photograph(saved(tmp_path / "a.png", image, exif=bytes(content))).pixels.shape == (
        5,
        7,
        3,
    )


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("1", (5, 7, 1)),
        ("L", (5, 7, 1)),
        ("LA", (5, 7, 2)),
        ("RGB", (5, 7, 3)),
        ("RGBA", (5, 7, 4)),
    ],
)
def test_channels_are_kept(mode: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    image = Image.fromarray(noise(5, 7, 4)).convert(mode)
    found = read_photograph(saved(tmp_path / "a.png", image))
    wanted = np.asarray(image.convert("L") if mode == "1" else image)
    assert np.array_equal(found.pixels, wanted.reshape(shape))
    save_photograph(found, tmp_path / "b.png", 95)
    assert Image.open(tmp_path / "b.png").mode == ("L" if mode == "1" else mode)


def test_palettes_become_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(noise(5, 7, 3)).quantize(8)
    assert np.array_equal(
        read_photograph(saved(tmp_path / "a.png", image)).pixels, np.asarray(image.convert("RGB"))
    )
    found = read_photograph(saved(tmp_path / "b.png", image, transparency=3)).pixels
    assert found.shape == (5, 7, 4)
    assert np.array_equal(found[..., 3] == 0, np.asarray(image) == 3)


def test_cmyk_becomes_rgb_without_its_profile(tmp_path: Path) -> None:
    ink = Image.new("CMYK", (4, 3), (0, 255, 255, 0))
    for options in ({}, {"icc_profile": b"damaged"}, {"icc_profile": PROFILE}):
        found = read_photograph(saved(tmp_path / "a.jpg", ink, quality=100, **options))
        assert found.profile is None
        assert np.abs(found.pixels[0, 0].astype(int) - (255, 0, 0)).max() <= 2


def test_preview_of_an_mpo_is_ignored(tmp_path: Path) -> None:
    image = Image.fromarray(noise(16, 16, 3))
    path = saved(
        tmp_path / "a.jpg",
        image,
        format="MPO",
        save_all=True,
        append_images=[Image.new("RGB", (8, 8))],
    )
    assert read_photograph(path).pixels.shape == (16, 16, 3)


def stack(kind: str) -> bytes:
    content = io.BytesIO()
    frames = [Image.fromarray(noise(8, 8, channels)) for channels in (3, 4)]
    frames[0].save(content, kind, save_all=True, append_images=[frames[1].convert("RGB")])
    return content.getvalue()


def test_lossy_reading_is_refused(tmp_path: Path) -> None:
    deep = noise(6, 6, 3, np.uint16)
    wide = io.BytesIO()
    tifffile.imwrite(
        wide,
        deep.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig="separate",
        compression="zlib",
    )
    cmyk = io.BytesIO()
    tifffile.imwrite(cmyk, noise(6, 6, 4, np.uint16), photometric="separated")
    whole = io.BytesIO()
    Image.fromarray(noise(6, 6, 1)[..., 0].astype(np.int32)).save(whole, "TIFF")
    lab = io.BytesIO()
    Image.new("LAB", (4, 4)).save(lab, "TIFF")
    for name, content, says in (
        ("apng.png", stack("PNG"), "more than one image"),
        ("moving.webp", stack("WEBP"), "more than one image"),
        ("pages.tif", stack("TIFF"), "more than one image"),
        ("planes.tif", wide.getvalue(), "16 bits per channel stored as"),
        ("ink.tif", cmyk.getvalue(), "16 bits per channel stored as"),
        ("whole.tif", whole.getvalue(), "32 bits"),
        ("lab.tif", lab.getvalue(), "LAB"),
        ("deep.ppm", b"P6 2 1 65535\n" + bytes(12), "more than 8 bits"),
        ("ten.ppm", b"P6 2 1 1023\n" + bytes(12), "more than 8 bits"),
        ("deep.pgm", b"P5 2 1 65535\n" + bytes(4), "bits"),
        ("empty.png", b"", ""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            DataError,
            match=rf"image .*{name} cannot be read: [^\n]*{says}",
        ):
            read_photograph(tmp_path / name)


def test_pixel_limit(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (9, 6)))
    assert read_photograph(path, max_pixels=54).pixels.shape == (6, 9, 1)
    with pytest.raises(DataError, match="has 9x6 pixels, the limit is 53 pixels"):
        read_photograph(path, max_pixels=53)


def test_formats_that_cannot_hold_a_photograph() -> None:
    alpha = Photograph(noise(4, 4, 4), PROFILE)
    for name in ("JPEG", "BMP", "PPM"):
        with pytest.raises(UserError, match=f"{name} cannot hold transparency"):
            for_format(alpha, name)
        with pytest.raises(UserError, match=f"{name} cannot hold 16 bits"):
            for_format(Photograph(noise(4, 4, 3, np.uint16)), name)
    opaque = Photograph(np.full((4, 4, 2), 255, np.uint8), PROFILE)
    assert for_format(opaque, "JPEG").pixels.shape == (4, 4, 1)
    assert for_format(opaque, "JPEG").profile == PROFILE
    for name in ("PNG", "TIFF", "WEBP"):
        assert for_format(alpha, name) is alpha
    with pytest.raises(UserError, match="WEBP cannot hold an image of 20000x2"):
        for_format(Photograph(np.zeros((1, 10_000, 3), np.uint8)), "WEBP")
    with pytest.raises(UserError, match="JPEG cannot hold an image of"):
        for_format(Photograph(np.zeros((40_000, 1, 3), np.uint8)), "JPEG")


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "ppm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_extension_is_written(ending: str, channels: int, tmp_path: Path) -> None:
    pixels = np.full((8, 6, channels), 200, np.uint8)
    save_photograph(Photograph(pixels, PROFILE, metadata()), tmp_path / f"a.{ending.upper()}", 95)
    found = read_photograph(tmp_path / f"a.{ending.upper()}").pixels
    assert np.abs(found.astype(int) - 200).max() <= 1


def test_quality_is_used(tmp_path: Path) -> None:
    sizes = []
    for quality in (30, 95):
        save_photograph(Photograph(noise(64, 64, 3)), tmp_path / "a.jpg", quality)
        sizes.append((tmp_path / "a.jpg").stat().st_size)
    assert sizes[0] < sizes[1] / 2
