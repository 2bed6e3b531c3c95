"""One HTML page with a slider between bicubic interpolation and the upscaled image.

The page needs no network: it holds the images as WebP. Of large images it shows the middle, pixel
by pixel, since an image that is made smaller does not show what upscaling did.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from falsr_nas.core.files import write_atomically
from falsr_nas.data.formats import MAX_PIXELS
from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.photo.photograph import Photograph, upscale_photograph
from falsr_nas.photo.photograph_file import read_photograph

# Our choice: a page takes 1 to 2 MiB for each large photograph.
MOST_PIXELS = 2**22
"""Pixels of an upscaled image that a page shows; of larger images it shows the middle."""

MOST_IMAGES = 12
"""Images that a page shows; of the others it says how many there are."""

_LONGEST = 16383
"""Pixels of a side that WebP can hold."""

_QUALITY = 92  # of WebP; our choice

_FIGURE = Template("""<figure>
<figcaption>$name <span>$sizes</span></figcaption>
<div class="scroll"><div class="pair" style="--width: ${width}px; --shape: $width / $height">
<div class="sides"><span>bicubic interpolation</span><span>upscaled</span></div>
<div class="stage">
<img class="before" src="$before" alt="$name, bicubic interpolation">
<img class="after" src="$after" alt="$name, upscaled">
<span class="line"></span>
<input type="range" min="0" max="100" value="50" step="any"
  aria-label="$name: percent that show bicubic interpolation">
</div></div></div>
</figure>""")


def write_preview(path: Path, figures: Sequence[str], more: int = 0) -> None:
    """Write a page of comparisons.

    Args:
        path: the page; an existing one is replaced.
        figures: what :func:`comparison` returned, for :data:`MOST_IMAGES` images at most.
        more: number of images that the page does not show; it says so.

    Raises:
        UserError: the page cannot be written.
    """
    script = _asset("preview.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Template(_asset("preview.html")).substitute(
        policy=(
            f"default-src 'none'; script-src 'sha256-{digest}';"
            " style-src 'unsafe-inline'; img-src data:"
        ),
        figures="\n".join(figures),
        more=f"Images that this page does not show: {more}." if more else "",
        script=script,
    )
    write_atomically(path, page.encode(errors="replace"))  # names of files may be undecodable


def comparison(
    source: Path, upscaled: Photograph, memory: int, max_pixels: int = MAX_PIXELS
) -> str:
    """Return the part of a page that compares bicubic interpolation with a network's result.

    Args:
        source: file of the image.
        upscaled: the network's result.
        memory: bytes that the whole process may use.
        max_pixels: of the image in the file.

    Raises:
        UserError: the file cannot be read any more.
    """
    low = read_photograph(source, max_pixels)
    (height, width), (large_height, large_width) = low.pixels.shape[:2], upscaled.pixels.shape[:2]
    scale = large_height // height
    rows, columns = _middle(height, width, MOST_PIXELS // scale**2, _LONGEST // scale)
    before = upscale_photograph(
        Bicubic(scale), replace(low, pixels=low.pixels[rows, columns]), memory
    )
    large = tuple(slice(scale * part.start, scale * part.stop) for part in (rows, columns))
    after = replace(upscaled, pixels=upscaled.pixels[large])
    shown_height, shown_width = after.pixels.shape[:2]
    sizes = f"{width}x{height} to {large_width}x{large_height} pixels"
    if after.pixels.size < upscaled.pixels.size:
        sizes += f"; the {shown_width}x{shown_height} in the middle"
    return _FIGURE.substitute(
        name=escape(source.name),
        sizes=sizes,
        width=shown_width,
        height=shown_height,
        before=_webp(before),
        after=_webp(after),
    )


def _middle(height: int, width: int, most: int, longest: int) -> tuple[slice, slice]:
    """Return the rows and columns in the middle of an image.

    They have the image's shape and ``most`` pixels, and are cut to ``longest`` pixels.
    """
    share = min(1.0, math.sqrt(most / (height * width)))
    sides = [min(max(1, int(share * side)), longest) for side in (height, width)]
    starts = [(side - kept) // 2 for side, kept in zip((height, width), sides, strict=True)]
    rows, columns = (slice(a, a + kept) for a, kept in zip(starts, sides, strict=True))
    return rows, columns


def _webp(photograph: Photograph) -> str:
    """Return a photograph as the address of an image that the page holds."""
    pixels = photograph.pixels
    if photograph.bits == 16:
        pixels = (pixels >> 8).astype(np.uint8)
    content = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    fit, _ = photograph.metadata.fitted("WEBP", pixels)
    image.save(content, "WEBP", quality=_QUALITY, icc_profile=fit.profile or b"")
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def _asset(name: str) -> str:
    return (files("falsr_nas.photo") / "assets" / name).read_text(encoding="utf-8")
