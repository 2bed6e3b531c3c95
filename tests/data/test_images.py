from __future__ import annotations

import io
import os
import resource
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from falsr_nas.data.errors import DataError
from falsr_nas.data.formats import FORMATS, decoders
from falsr_nas.data.images import LUMA, luma, read_image
from falsr_nas.data.sources import list_images

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def save(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def test_rgb_is_channels_first_and_unchanged(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.png", Image.fromarray(NOISE)))
    assert image.dtype == torch.uint8 and image.is_contiguous()
    assert np.array_equal(image.numpy(), NOISE.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_has_three_equal_channels(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(NOISE).convert("L").convert(mode)
    image = read_image(save(tmp_path / "a.png", grey))
    assert np.array_equal(image.numpy(), np.repeat(np.asarray(grey.convert("L"))[None], 3, 0))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = np.dstack([NOISE, RNG.integers(0, 256, NOISE.shape[:2], dtype=np.uint8)])
    assert np.array_equal(
        read_image(save(tmp_path / "a.png", Image.fromarray(rgba))).numpy(),
        NOISE.transpose(2, 0, 1),
    )


def test_palette_and_cmyk_become_rgb(tmp_path: Path) -> None:
    palette = Image.fromarray(NOISE).quantize(16)
    assert np.array_equal(
        read_image(save(tmp_path / "a.png", palette)).numpy(),
        np.asarray(palette.convert("RGB")).transpose(2, 0, 1),
    )
    red = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    assert read_image(save(tmp_path / "a.tif", red))[:, 0, 0].tolist() == [255, 0, 0]


def test_16_bits_keep_their_high_byte(tmp_path: Path) -> None:
    deep = RNG.integers(0, 2**16, (5, 4), dtype=np.uint16)
    image = read_image(save(tmp_path / "a.png", Image.fromarray(deep)))
    assert np.array_equal(image.numpy(), np.repeat((deep >> 8)[None], 3, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bits_are_refused(tmp_path: Path, dtype: type) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.ones((4, 4), dtype=dtype)))
    with pytest.raises(DataError, match=r"a\.tif cannot be read: its pixels have 32 bits"):
        read_image(path)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to see it upright
    image = read_image(save(tmp_path / "a.png", Image.fromarray(NOISE), exif=exif))
    assert np.array_equal(image.numpy(), np.rot90(NOISE, -1).transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_orientation_of_grey_tiffs(tmp_path: Path, orientation: int) -> None:
    """Pillow orients uncompressed ones wrongly if it is given a path."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = Image.fromarray(NOISE[..., 0])
    expected = read_image(save(tmp_path / "a.png", grey, exif=exif))
    assert torch.equal(read_image(save(tmp_path / "a.tif", grey, exif=exif)), expected)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """Return a PNG whose header gives width x height pixels, and that holds none."""

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_000, 50_000, 2**31 - 1])
def test_large_images_are_refused_by_their_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))

    def decoded(*_: object) -> None:
        pytest.fail("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    with pytest.raises(DataError, match=r"bomb\.png"):
        read_image(path)


def test_the_pixel_limit_is_exact(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(NOISE))
    assert read_image(path, max_pixels=54).shape == (3, 6, 9)
    with pytest.raises(DataError, match="has 9x6 pixels, the limit is 53 pixels"):
        read_image(path, max_pixels=53)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_truncated_file_is_named(tmp_path: Path, kind: str) -> None:
    path = save(
        tmp_path / f"cut.{kind}", Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"^image .*cut\.{kind} cannot be read: [^\n]+$"):
        read_image(path)


def test_missing_files_and_other_formats_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png cannot be read"):
        read_image(tmp_path / "none.png")
    (tmp_path / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(DataError, match=r"program\.png cannot be read"):
        read_image(tmp_path / "program.png")


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, kind)
    return buffer.getvalue()


decoders(b"\0\0\0\0ftypheic")  # so that Pillow can also write HEIC here
ENCODED = {kind: encoded(kind) for kind in FORMATS}


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(sorted(ENCODED)),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    tail=st.binary(max_size=40),
    keep=st.floats(0, 1),
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_give_an_image_or_a_data_error(
    tmp_path: Path, kind, edits, tail, keep
) -> None:
    content = bytearray(ENCODED[kind])
    for place, value in edits:
        content[place % len(content)] = value
    path = tmp_path / "fuzzed"
    path.write_bytes(bytes(content[: round(keep * len(content))]) + tail)
    try:
        image = read_image(path, max_pixels=2**16)
    except DataError as error:
        assert "fuzzed" in str(error) and "\n" not in str(error)
    else:
        assert image.dtype == torch.uint8 and image.shape[0] == 3 and 0 < image[0].numel() <= 2**16


def test_folders_list_their_images_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no images in {tmp_path}"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="no such folder of images: .*/none"):
        list_images(tmp_path / "none")


def test_luma_is_the_unrounded_weighted_sum_also_under_autocast() -> None:
    rgb = torch.from_numpy(NOISE)
    expected = (NOISE.astype(np.float64) @ [0.299, 0.587, 0.114]) / 255
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = luma(rgb)
        assert y.dtype == torch.float32
        np.testing.assert_allclose(y.numpy(), expected, atol=2e-7)
    assert luma(
        torch.tensor([[255, 255, 255], [0, 0, 0]], dtype=torch.uint8), LUMA
    ).tolist() == pytest.approx([1, 0], abs=2e-7)


def tiff(tags: dict[int, int | tuple[int, ...]]) -> bytes:
    directory = ImageFileDirectory_v2()
    for tag, value in ({256: 16, 257: 16, 258: (8, 8, 8), 259: 5, 262: 2, 277: 3} | tags).items():
        directory[tag] = value
    content = io.BytesIO()
    directory.save(content)
    return content.getvalue() + bytes(1000)


def run_length_bmp() -> bytes:
    """Return a BMP of 60 million pixels in a single run-length code."""
    header = struct.pack("<IiiHHIIiiII", 40, 60_000_000, 1, 1, 8, 1, 6, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1084, 0, 0, 1078) + header + bytes(1024) + b"\1\1\0\0\0\1"


def many_scans() -> bytes:
    content = io.BytesIO()
    Image.new("L", (64, 64), 77).save(content, "JPEG", progressive=True)
    last = content.getvalue().rindex(b"\xff\xda")
    return content.getvalue()[:-2] + 1000 * content.getvalue()[last:-2] + b"\xff\xd9"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in Linux's units")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tiff({322: 16384, 323: 16384, 324: 8, 325: 100}), "tiles of 16384x16384 pixels"),
        (
            lambda: tiff({278: 1, 273: (8,) * 140_000, 279: (3,) * 140_000, 259: 1}),
            "140,000 tiles, the limit is 131,072",
        ),
        (lambda: tiff({256: 2**31, 257: 2**31, 273: 8, 279: 9}), ""),
        (run_length_bmp, "compressed BMP files are not supported"),
        (many_scans, "JPEG has 1006 scans, the limit is 200"),
        (
            lambda: encoded("PNG") + bytes(65 * 2**20),
            r"the limit for an image of 54 pixels is 67,109,296",
        ),
        (lambda: b"P6 8000 8000 255\n", "truncated"),
    ],
)
def test_small_files_that_are_expensive_to_decode_are_refused(
    tmp_path: Path, make, says: str
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(make())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=rf"bomb\.png[^\n]*{says}"):
        read_image(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB


@pytest.mark.parametrize("keyword", [b"comment", b"XML:com.adobe.xmp"])
def test_a_long_text_costs_little(keyword: bytes, tmp_path: Path) -> None:
    """A text of 500 MB, compressed to 500 KB, is not taken into memory as a whole."""
    deflated = zlib.compressobj(1)
    text = b"".join(deflated.compress(bytes(2**20)) for _ in range(500)) + deflated.flush()
    content = encoded("PNG")
    content = content[:33] + chunk(b"zTXt", keyword + b"\0\0" + text) + content[33:]
    (tmp_path / "bomb.png").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_image(tmp_path / "bomb.png").shape == (3, 6, 9)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB


def test_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png cannot be read: it is not a regular file"):
        read_image(tmp_path / "pipe.png")
