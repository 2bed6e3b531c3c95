"""PNG and TIFF files with 16 bits per channel."""

from __future__ import annotations

import resource
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.photograph_file import read_photograph, save_photograph
from photo.photographs import ORIENTATION, carried, metadata, noise, saved

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
    save_photograph(Photograph(pixels, carried()), path, 95)
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
        save_photograph(Photograph(pixels), tmp_path / "c.png", 95)
        content = (tmp_path / "c.png").read_bytes()
        (tmp_path / "c.png").write_bytes(
            content[:33] + chunk(b"eXIf", metadata(orientation).tobytes()[6:]) + content[33:]
        )
        assert np.array_equal(read_photograph(tmp_path / "c.png").pixels, found)


def replace_strip(path: Path, strip: bytes, compression: int) -> Path:
    """Replace the only strip of a TIFF."""
    offset = path.stat().st_size
    path.write_bytes(path.read_bytes() + strip)
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag, value in ((259, compression), (273, offset), (279, len(strip))):
            file.pages[0].tags[tag].overwrite(value)
    return path


def lzw(content: bytes) -> bytes:
    """Compress without any repetition: all codes have 9 bits, as the table is cleared in time."""
    codes: list[int] = []
    for i, value in enumerate(content):
        codes += [256, value] if i % 250 == 0 else [value]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))


def test_16_bit_tiff_with_lzw_is_read_exactly(tmp_path: Path) -> None:
    pixels = noise(21, 18, 3, np.uint16)
    path = tiff(tmp_path / "a.tif", pixels)
    replace_strip(path, lzw(pixels.astype("<u2").tobytes()), compression=5)
    assert np.array_equal(read_photograph(path).pixels, pixels)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in Linux's units")
def test_strip_that_is_too_long_takes_no_memory(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint16)
    path = tiff(tmp_path / "a.tif", pixels, compression="zlib")
    compressor = zlib.compressobj()
    parts = [compressor.compress(bytes(2**20)) for _ in range(512)]
    replace_strip(path, b"".join([*parts, compressor.flush()]), compression=8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert np.array_equal(read_photograph(path).pixels, pixels)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB
