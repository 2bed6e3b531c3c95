"""Print a table of PSNR on sets whose LR images are clean or JPEG files: ours and interpolation.

    python experiments/family/degraded.py --data DIR [MODEL ...]

DIR has benchmark/Set5, Set14, B100 and val/Kodak24. Luma, protocol standard, x2. Below the table:
on how many images of Kodak24 each model is worse than bicubic interpolation.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import ModelScore, score_model
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.data.images import ImageFile
from falsr_nas.models.model import Model
from falsr_nas.models.model_file import find_model
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.runtime_network import RuntimeNetwork

FOOTPRINT = Footprint(margin=8, floats=16)
SETS = ("benchmark/Set5", "benchmark/Set14", "benchmark/B100", "val/Kodak24")
FILES = {"clean": "bicubic", "90": "jpeg90", "70": "jpeg70", "50": "jpeg50"}
SPEEDS = ("fast", "balanced")
SHIPPED = tuple(f"falsr-x2-{kind}-{speed}" for kind in ("clean", "photo") for speed in SPEEDS)


def lanczos(y: Tensor) -> Tensor:
    """Enlarge luma (N, 1, H, W) to (N, 1, 2H, 2W) by Pillow's Lanczos interpolation."""
    size = 2 * y.shape[3], 2 * y.shape[2]
    larger = [
        np.asarray(Image.fromarray(plane.numpy()).resize(size, Image.Resampling.LANCZOS))
        for plane in y[:, 0]
    ]
    return torch.from_numpy(np.stack(larger))[:, None]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=SHIPPED)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    sets: Mapping[str, list[ImageFile]] = {
        f"{Path(name).name} {label}": [
            replace(file, degradation=kind) for file in benchmark_files(options.data / name)
        ]
        for name in SETS
        for label, kind in FILES.items()
    }
    models = [
        find_model("bicubic"),
        Model(RuntimeNetwork(lanczos, 1, 2, FOOTPRINT, None), "Lanczos", {}),
    ]
    models += [find_model(name) for name in options.models]
    scores = [score_model(model, sets, ScoringProtocol.standard) for model in models]
    names = [Path(name).name for name in SETS]
    print("| | " + " | ".join(f"{name} {label}" for name in names for label in FILES) + " |")
    print("|---" * (len(SETS) * len(FILES) + 1) + "|")
    for score in scores:
        print(f"| {score.model} | " + " | ".join(f"{x.mean.psnr:.2f}" for x in score.sets) + " |")
    for score in scores[1:]:
        worse = [_worse(score, scores[0], f"Kodak24 {label}") for label in FILES]
        print(f"{score.model}: worse than bicubic on {worse} images of Kodak24 {[*FILES]}")


def _worse(score: ModelScore, other: ModelScore, name: str) -> int:
    (ours,), (theirs,) = (
        [found.images for found in one.sets if found.name == name] for one in (score, other)
    )
    return sum(ours[image].psnr < theirs[image].psnr for image in ours)


if __name__ == "__main__":
    main()
