"""Draw parts of two photographs, enlarged twice by bicubic interpolation and by our networks.

    python docs/images/enlarged.py

The photographs come with scikit-image and are in the public domain: "astronaut" by NASA, "chelsea"
by S. van der Walt (CC0). No shipped model was trained on them. They are halved by the degradation
of the benchmarks, for photographs.png also written as JPEG files of quality 60, and enlarged again.
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

PROTOCOL = ScoringProtocol.standard

PARTS = (("astronaut.png", 40, 185, 84, 112), ("chelsea.png", 84, 110, 84, 112))
"""File, top and left corner, height and width of each part, in pixels of the original."""

CLEAN, PHOTO = "falsr-x2-clean-balanced", "falsr-x2-photo-balanced"


def main() -> None:
    """Run the command."""
    matplotlib.rcParams["font.size"] = 8
    draw("enlarged.png", ("bicubic", CLEAN), "bicubic", height=4.7)
    draw("photographs.png", ("bicubic", CLEAN, PHOTO), "jpeg60", height=3.7)


def draw(output: str, models: tuple[str, ...], degradation: str, height: float) -> None:
    """Draw a figure: a row for each part, a column for each model, and one for the original."""
    figure = Figure(figsize=(9, height), layout="constrained", facecolor="white")
    panels = figure.subplots(len(PARTS), len(models) + 1)
    degrade = degradation_named(degradation)
    for row, (name, top, left, rows, columns) in zip(panels, PARTS, strict=True):
        original = modcrop(read_image(Path(skimage.data_dir) / name), 2)
        part = slice(top, top + rows), slice(left, left + columns)
        small, images = downscale(original), {}
        small = small if degrade is None else degrade(original, small, 0)
        for model in models:
            larger = super_resolve(find_model(model).network, small, PROTOCOL)
            (quality,) = score(larger[None], original[None], PROTOCOL)
            images[f"{model.removeprefix('falsr-x2-')}, {quality.psnr:.2f} dB"] = larger
        images["original"] = original
        for axes, (title, image) in zip(row, images.items(), strict=True):
            axes.imshow(image[:, *part].permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(title)
    figure.savefig(Path(__file__).with_name(output), dpi=150)


if __name__ == "__main__":
    main()
