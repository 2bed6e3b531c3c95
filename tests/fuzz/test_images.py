"""Damaged image files of every format: read as an image, or refused with the file's name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from falsr_nas.data.errors import DataError
from falsr_nas.data.formats import FORMATS, decoders
from falsr_nas.data.images import read_image
from falsr_nas.photo.exif import directory_bytes, read_exif
from falsr_nas.photo.metadata import Metadata
from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.photograph_file import _write_png, read_photograph
from fuzz.mutations import fuzz, mutated

MOST_PIXELS = 2**16
PNG = b"\x89PNG\r\n\x1a\n"


def noise(channels: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(channels).integers(
        0, np.iinfo(dtype).max + 1, (9, 14, channels), dtype=dtype
    )


def metadata() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769).update({0x9003: "2024:05:06 07:08:09", 0x829A: 0.005})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return exif


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def seeds() -> dict[str, list[bytes]]:
    rgb, rgba, grey = (Image.fromarray(noise(channels).squeeze()) for channels in (3, 4, 1))
    found = {kind: [encoded(rgb, kind)] for kind in FORMATS}
    about = {"exif": metadata(), "icc_profile": bytes(200)}
    found["PNG"] += [
        encoded(rgba, "PNG", **about),
        encoded(rgb.quantize(7), "PNG", transparency=3),
        encoded(grey, "PNG"),
    ]
    deep = io.BytesIO()
    chunks = Metadata(bytes(200), read_exif(metadata().tobytes())).png_chunks()
    _write_png(deep, noise(3, np.uint16), chunks)
    found["PNG"] += [
        deep.getvalue(),
        encoded(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)]),
    ]
    found["JPEG"] += [
        encoded(rgb, "JPEG", progressive=True, **about),
        encoded(rgb.convert("CMYK"), "JPEG"),
        encoded(grey, "MPO", **about),
    ]
    found["TIFF"] += [
        encoded(rgba, "TIFF", compression=kind, exif=metadata())
        for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits")
    ]
    for options in (
        {},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16), "byteorder": ">"},
    ):
        deep = io.BytesIO()
        tifffile.imwrite(deep, noise(3, np.uint16), photometric="rgb", **options)
        found["TIFF"].append(deep.getvalue())
    found["WEBP"] += [
        encoded(rgba, "WEBP", lossless=True, **about),
        encoded(rgb, "WEBP", save_all=True, append_images=[grey.convert("RGB")]),
    ]
    found["BMP"] += [encoded(grey, "BMP"), encoded(rgb.quantize(7), "BMP")]
    found["PPM"] += [encoded(grey, "PPM"), b"P3 2 1 7\n1 2 3 4 5 6\n", b"P6 1 1 65535\nabcdef"]
    return found


decoders(b"\0\0\0\0ftypheic")  # so that Pillow can also write HEIC here
SEEDS = seeds()


def with_correct_checksums(content: bytes) -> bytes:
    """Correct the checksums of a damaged PNG's chunks, so that the damage is not found by them."""
    if not content.startswith(PNG):
        return content
    whole, place = PNG, len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        body = content[place + 8 : place + 8 + length]
        whole += content[place : place + 8] + body + struct.pack(">I", zlib.crc32(kind + body))
        place += 12 + length
    return whole


def check(path: Path) -> None:
    for read in (read_image, read_photograph):
        try:
            found = read(path, max_pixels=MOST_PIXELS)
        except DataError as error:
            assert path.name in str(error)
            assert "\n" not in str(error)
            continue
        pixels = found.pixels if isinstance(found, Photograph) else found.permute(1, 2, 0).numpy()
        assert 0 < pixels.shape[0] * pixels.shape[1] <= MOST_PIXELS
        if isinstance(found, Photograph):
            for name in ("PNG", "JPEG", "TIFF", "WEBP"):
                fit, _ = found.metadata.fitted(name, found.pixels)
                assert isinstance(fit.pillow_options(), dict) and isinstance(fit.png_chunks(), list)
                directory_bytes(*fit.tiff_fields(), 8)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_the_seeds_are_read(kind: str, tmp_path: Path) -> None:
    for i, seed in enumerate(SEEDS[kind]):
        path = tmp_path / f"seed{i}.x"
        path.write_bytes(seed)
        assert read_image(path).shape[0] == 3
        check(path)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_images(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.x"

    @fuzz
    @given(mutated(SEEDS[kind]), st.booleans())
    def run(content: bytes, correct_checksums: bool) -> None:
        path.write_bytes(with_correct_checksums(content) if correct_checksums else content)
        check(path)

    run()
