"""Photograph files keep bits, transparency and orientation, or are refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from falsr_nas.core.errors import UserError
from falsr_nas.data.errors import DataError
from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.photograph_file import for_format, read_photograph, save_photograph
from photo.photographs import ORIENTATION, PROFILE, carried, metadata, noise, saved


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
        assert found.metadata.profile is None
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
    alpha = Photograph(noise(4, 4, 4), carried())
    for name in ("JPEG", "BMP", "PPM"):
        with pytest.raises(UserError, match=f"{name} cannot hold transparency"):
            for_format(alpha, name, 2)
        with pytest.raises(UserError, match=f"{name} cannot hold 16 bits"):
            for_format(Photograph(noise(4, 4, 3, np.uint16)), name, 2)
    opaque = Photograph(np.full((4, 4, 2), 255, np.uint8), carried())
    assert for_format(opaque, "JPEG", 2).pixels.shape == (4, 4, 1)
    assert for_format(opaque, "JPEG", 2).metadata.profile == PROFILE
    for name in ("PNG", "TIFF", "WEBP"):
        assert for_format(alpha, name, 2) is alpha
    with pytest.raises(UserError, match="WEBP cannot hold an image of 20000x2"):
        for_format(Photograph(np.zeros((1, 10_000, 3), np.uint8)), "WEBP", 2)
    with pytest.raises(UserError, match="WEBP cannot hold an image of 20000x4"):
        for_format(Photograph(np.zeros((1, 5_000, 3), np.uint8)), "WEBP", 4)
    with pytest.raises(UserError, match="JPEG cannot hold an image of"):
        for_format(Photograph(np.zeros((40_000, 1, 3), np.uint8)), "JPEG", 2)


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "ppm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_extension_is_written(ending: str, channels: int, tmp_path: Path) -> None:
    pixels = np.full((8, 6, channels), 200, np.uint8)
    save_photograph(Photograph(pixels, carried()), tmp_path / f"a.{ending.upper()}", 95)
    found = read_photograph(tmp_path / f"a.{ending.upper()}").pixels
    assert np.abs(found.astype(int) - 200).max() <= 1


def test_quality_is_used(tmp_path: Path) -> None:
    sizes = []
    for quality in (30, 95):
        save_photograph(Photograph(noise(64, 64, 3)), tmp_path / "a.jpg", quality)
        sizes.append((tmp_path / "a.jpg").stat().st_size)
    assert sizes[0] < sizes[1] / 2
