"""Draw enlarged.png: parts of two photographs, enlarged twice by bicubic interpolation and by ours.

    python docs/images/enlarged.py [--model falsr-x2-clean-balanced]

The photographs come with scikit-image and are in the public domain: "astronaut" by NASA, "chelsea"
by S. van der Walt (CC0). No shipped model was trained on them. They are halved by the degradation
of the benchmarks, and then enlarged again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import skimage
from matplotlib.figure import Figure

from falsr_nas.benchmark.image_quality import score
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.data.degradation import downscale, modcrop
from falsr_nas.data.images import read_image
from falsr_nas.models import find_model

PROTOCOL = ScoringProtocol.standard

PARTS = (("astronaut.png", 40, 185, 84, 112), ("chelsea.png", 84, 110, 84, 112))
"""File, top and left corner, height and width of each part, in pixels of the original."""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="falsr-x2-clean-balanced")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("enlarged.png"))
    options = parser.parse_args()
    matplotlib.rcParams["font.size"] = 9
    figure = Figure(figsize=(9, 4.7), layout="constrained", facecolor="white")
    panels = figure.subplots(len(PARTS), 3)
    for row, (name, top, left, height, width) in zip(panels, PARTS, strict=True):
        original = modcrop(read_image(Path(skimage.data_dir) / name), 2)
        part = slice(top, top + height), slice(left, left + width)
        images = {}
        for model in ("bicubic", options.model):
            larger = super_resolve(find_model(model).network, downscale(original), PROTOCOL)
            (quality,) = score(larger[None], original[None], PROTOCOL)
            images[f"{model}, {quality.psnr:.2f} dB"] = larger
        images["original"] = original
        for axes, (title, image) in zip(row, images.items(), strict=True):
            axes.imshow(image[:, *part].permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(title)
    figure.savefig(options.output, dpi=150)


if __name__ == "__main__":
    main()
