"""Images of any kind that Python has, upscaled to the same kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from falsr_nas.core.errors import UserError
from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.photograph_file import read_photograph
from falsr_nas.photo.pillow_image import from_pillow, to_pillow


def enlarge(
    image: Image.Image | NDArray[Any] | str | os.PathLike[str],
    upscale: Callable[[Photograph], Photograph],
) -> Image.Image | NDArray[Any]:
    """Upscale an image of Pillow, an array, or a file, of which an image of Pillow is made.

    Args:
        image: an array is (H, W) or (H, W, 1 to 4), of uint8, uint16, or floats in 0..1.
        upscale: upscales a photograph.

    Raises:
        UserError: the image is of another kind, or cannot be read.
    """
    if isinstance(image, np.ndarray):
        output = upscale(_from_array(image)).pixels
        return output[..., 0] if image.ndim == 2 else output
    if isinstance(image, Image.Image):
        return to_pillow(upscale(from_pillow(image)))
    if isinstance(image, str | os.PathLike):
        path = Path(image).expanduser()
        photograph = read_photograph(path)
        try:
            return to_pillow(upscale(photograph))
        except UserError as error:
            raise UserError(f"image {path}: {error}") from None
    raise UserError(
        f"image is a {type(image).__name__}: give an image of Pillow, an array of numpy, or a path"
    )


def _from_array(array: NDArray[Any]) -> Photograph:
    is_float = array.dtype.kind == "f" and array.itemsize <= 8
    if not is_float and not (array.dtype.kind == "u" and array.itemsize <= 2):
        raise UserError(
            f"image is an array of {array.dtype}: give uint8 in 0..255, uint16 in 0..65535, or"
            " floats in 0..1"
        )
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or not pixels.size:
        raise UserError(
            f"image is an array of shape {array.shape}: give (H, W), or (H, W, C) with C of 1 to 4"
            " for grey, grey and alpha, RGB, RGB and alpha"
        )
    if is_float and not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN is neither
        raise UserError(
            f"image has floats from {pixels.min():g} to {pixels.max():g}: give floats in 0..1, for"
            " example image / 255, or image.clip(0, 1)"
        )
    return Photograph(pixels)
