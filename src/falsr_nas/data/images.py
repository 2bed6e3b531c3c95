"""Image files, which may be anything, as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from torch import Tensor

from falsr_nas.data.errors import DataError

# Only decoders of plain pictures: Pillow's others can run programs (EPS) or are seldom tried on
# hostile files.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})
MAX_PIXELS = 2**26  # 67 megapixels, below the size at which Pillow itself warns (our choice)

# Of files that cost more than they show (our choice): bytes for each pixel and beside the pixels,
# pixels of a TIFF's tile however small the image, its tiles, a progressive JPEG's scans.
# Photographs stay far below.
_MOST_PIXEL_BYTES = 8
_MOST_NOTES = 64 * 2**20
_LEAST_TILE_LIMIT = 2**22
_MOST_TILES = 2**17
_MOST_SCANS = 200
_TILE_SIDES = (322, 323)

# ITU-R BT.601 luma of 8-bit RGB, full range: what the published networks take, in [0, 1].
LUMA = torch.tensor([0.299, 0.587, 0.114]) / 255


def list_images(folder: Path) -> list[Path]:
    """The image files right inside a folder, by name; hidden files and subfolders are left out.

    Raises:
        DataError: when the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder of images: {folder}")
    found = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    )
    images = sorted(path for path in found if path.is_file())
    if not images:
        raise DataError(f"no images in {folder} (looked for {', '.join(sorted(EXTENSIONS))})")
    return images


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """An image file as RGB.

    Turned as its EXIF orientation says. Grey, palette and CMYK images become RGB; 16-bit channels
    keep their high byte; an alpha channel is dropped; of an animation or a stack the first frame
    is taken. Colour profiles are not applied.

    Args:
        path: a PNG, JPEG, BMP, TIFF, WebP or PPM file.
        max_pixels: larger images are refused by their header, before anything is decoded.

    Returns:
        (3, H, W) uint8.

    Raises:
        DataError: when the file is missing, not such an image, truncated, too large, or has pixels
            without a known range.
    """
    with open_image(path, max_pixels) as (_, image):
        pixels = np.asarray(_rgb(ImageOps.exif_transpose(image)))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@contextmanager
def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[tuple[BinaryIO, ImageFile]]:
    """An image file, and the image of which only the header is read yet.

    Pillow is given an open file, not a path: by its path it maps some files into memory, which
    dies when the file is cut meanwhile, and turns uncompressed grey TIFFs wrongly.

    Raises:
        DataError: when the file is no image of :data:`FORMATS` or would cost more than an image of
            ``max_pixels`` may; also instead of whatever goes wrong while the image is used inside
            the block.
    """
    try:
        with _open_plain(path) as file, Image.open(file, formats=FORMATS) as image:
            _check_cost(path, file, image, max_pixels)
            yield file, image
    except DataError:
        raise
    except Exception as error:  # decoders meet hostile bytes here, and fail with whatever comes up
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"image {path} cannot be read: {reason}") from error


def _open_plain(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")  # a pipe would be waited for
    return path.open("rb")


def _check_cost(path: Path, file: BinaryIO, image: ImageFile, max_pixels: int) -> None:
    """Refuse what is cheap to send and dear to decode, as far as headers tell."""
    area = image.width * image.height
    if area > max_pixels:
        raise DataError(
            f"image {path} is {image.width}x{image.height}: more than {max_pixels:,} pixels are not read"
        )
    if path.stat().st_size > _MOST_PIXEL_BYTES * area + _MOST_NOTES:
        raise ValueError("its file is far larger than its pixels need")
    codecs = {tile.codec_name for tile in image.tile}
    if "bmp_rle" in codecs:
        raise ValueError(
            "its BMP is compressed; save it as PNG"
        )  # Pillow's decoder takes minutes for a thousand bytes
    if image.format == "TIFF":
        side = [image.tag_v2.get(tag, 1) for tag in _TILE_SIDES]  # type: ignore[attr-defined]
        if side[0] * side[1] > max(_LEAST_TILE_LIMIT, area) or len(image.tile) > _MOST_TILES:
            raise ValueError("its tiles are absurd")
    if image.info.get("progressive"):
        place = file.tell()
        scans = file.seek(0) or file.read().count(b"\xff\xda")
        file.seek(place)
        if scans > _MOST_SCANS:
            raise ValueError(f"its {scans} scans are absurd")


def _rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB. Raises ValueError where a pixel's range is not known."""
    if image.mode.startswith("I;16"):
        # As Pillow reads 16-bit RGB: the high byte.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16 bits a channel")
    return image.convert("RGB")


def luma(rgb: Tensor, weights: Tensor = LUMA) -> Tensor:
    """Full-range luma of YPbPr, Y = (0.299 R + 0.587 G + 0.114 B) / 255, unrounded.

    Args:
        rgb: (..., 3) uint8, colours last.
        weights: :data:`LUMA`, on the device of ``rgb``.

    Returns:
        (...) float32 in [0, 1]; full precision under autocast, too.
    """
    with torch.autocast(rgb.device.type, enabled=False):
        return rgb.float() @ weights
