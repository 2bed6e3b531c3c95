"""Draw photographs.png: parts of two JPEG photographs, enlarged twice by interpolation and by ours.

    python docs/images/photographs.py

The photographs come with scikit-image and are in the public domain: "astronaut" by NASA, "chelsea"
by S. van der Walt (CC0). They are halved by the degradation of the benchmarks and written as JPEG
files of quality 60 before they are enlarged. No shipped model was trained on them.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import skimage
from matplotlib.figure import Figure

from falsr_nas.benchmark.image_quality import score
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.data.degradation import downscale, modcrop
from falsr_nas.data.degradations import degradation_named
from falsr_nas.data.images import read_image
from falsr_nas.models import find_model

MODELS = ("bicubic", "falsr-x2-clean-balanced", "falsr-x2-photo-balanced")
PARTS = (("astronaut.png", 40, 185, 84, 112), ("chelsea.png", 84, 110, 84, 112))
"""File, top and left corner, height and width of each part, in pixels of the original."""


def main() -> None:
    """Run the command."""
    matplotlib.rcParams["font.size"] = 8
    figure = Figure(figsize=(9, 3.7), layout="constrained", facecolor="white")
    panels = figure.subplots(len(PARTS), len(MODELS) + 1)
    compress = degradation_named("jpeg60")
    assert compress is not None
    protocol = ScoringProtocol.standard
    for row, (name, top, left, height, width) in zip(panels, PARTS, strict=True):
        original = modcrop(read_image(Path(skimage.data_dir) / name), 2)
        part = slice(top, top + height), slice(left, left + width)
        images = {}
        for model in MODELS:
            small = compress(original, downscale(original), 0)
            larger = super_resolve(find_model(model).network, small, protocol)
            (quality,) = score(larger[None], original[None], protocol)
            images[f"{model.removeprefix('falsr-x2-')}, {quality.psnr:.2f} dB"] = larger
        images["original"] = original
        for axes, (title, image) in zip(row, images.items(), strict=True):
            axes.imshow(image[:, *part].permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(title)
    figure.savefig(Path(__file__).with_name("photographs.png"), dpi=150)


if __name__ == "__main__":
    main()
