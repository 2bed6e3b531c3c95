"""Degradations beside the benchmarks': what happens to a photograph between scene and file.

``photo`` is random, for training; files of one kind, such as ``jpeg60``, are for scores. Files are
written and read by Pillow's encoders. Nothing depends on the device, the threads or the order.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from falsr_nas.core.errors import UserError
from falsr_nas.data.degradation import downscale
from falsr_nas.data.settings import DegradationSettings, PhotoDegradation

Degrade = Callable[[Tensor, Tensor, int], Tensor]
"""Takes the HR image (3, sh, sw), the benchmarks' LR image (3, h, w) and the number of the image,
and returns the LR image (3, h, w) to use; all uint8 RGB."""

_FILTERS = tuple(Image.Resampling[name] for name in ("BICUBIC", "LANCZOS", "BILINEAR", "BOX"))
_NAME = re.compile(r"(jpeg|webp)(\d{1,3})(-444)?")


def degrade_photo(
    hr: Tensor, scale: int, settings: PhotoDegradation, seed: tuple[int, ...]
) -> Tensor:
    """Return an LR image as cameras and web sites make it, at random.

    In this order: blur, down-scaling by one of four kernels, sharpening, noise, and one or two
    lossy files. A share of the images is degraded as the benchmarks' instead.

    Args:
        hr: (3, sh, sw) uint8; sides are multiples of the scale.
        scale: of the HR image.
        settings: how strong everything is.
        seed: determines everything that is random.

    Returns:
        (3, h, w) uint8.
    """
    rng = np.random.default_rng(seed)
    if rng.random() < settings.clean:
        return downscale(hr, scale)
    image = _image(hr)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, settings.blur * scale)))
    size = image.width // scale, image.height // scale
    image = image.resize(size, _FILTERS[rng.integers(len(_FILTERS))])
    if rng.random() < 0.5:
        percent = round(rng.uniform(0, 100 * settings.sharpening))
        image = image.filter(ImageFilter.UnsharpMask(radius=1, percent=percent, threshold=0))
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(0, settings.noise), (image.height, image.width, 3))
        noisy = np.asarray(image) + noise
        image = Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))
    for _ in range(1 + (rng.random() < settings.twice)):
        kind = "webp" if rng.random() < settings.webp else "jpeg"
        quality = int(rng.integers(settings.quality[0], settings.quality[1] + 1))
        image = _through_file(image, kind, quality, full_chroma=rng.random() < settings.full_chroma)
    return _tensor(image)


def degradation_of(settings: DegradationSettings | None) -> Degrade | None:
    """Return the degradation of validation images; None for the benchmarks'.

    Each image is degraded alike in every run.
    """
    if not isinstance(settings, PhotoDegradation):
        return None
    return lambda hr, lr, number: degrade_photo(hr, hr.shape[1] // lr.shape[1], settings, (number,))


def degradation_named(name: str) -> Degrade | None:
    """Return a degradation: ``bicubic``, ``jpeg60``, ``jpeg60-444``, ``webp60``, ``photo``.

    Files are made of the benchmarks' LR image; their chroma has half the size, except for ``-444``.
    ``photo`` is random, the same for each image in every run.

    Raises:
        UserError: there is no such degradation.
    """
    if name == "bicubic":
        return None
    if name == "photo":
        return degradation_of(PhotoDegradation())
    match = _NAME.fullmatch(name)
    quality = int(match[2]) if match else 0
    if match is None or not 1 <= quality <= 100 or (match[1] == "webp" and match[3]):
        raise UserError(
            f"degradation {name!r}: give bicubic, photo, jpegQ, jpegQ-444 or webpQ with a quality"
            " Q in 1..100, such as jpeg60"
        )
    kind, full = match[1], match[3] is not None
    return lambda hr, lr, number: _tensor(
        _through_file(_image(lr), kind, quality, full_chroma=full)
    )


def _through_file(image: Image.Image, kind: str, quality: int, *, full_chroma: bool) -> Image.Image:
    """Return an image as it is after it was written to a file and read again."""
    # WebP's chroma always has half the size.
    more: dict[str, Any] = {"subsampling": "4:4:4" if full_chroma else "4:2:0"}
    file = io.BytesIO()
    image.save(file, kind, quality=quality, **(more if kind == "jpeg" else {}))
    return Image.open(file).convert("RGB")


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
