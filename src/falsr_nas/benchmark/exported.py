"""What an export costs: PSNR and time of exported models beside those of a reference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import LEAST_SIDE, score_file
from falsr_nas.data.errors import DataError
from falsr_nas.data.levels import PEAK
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.sources import ImageFile
from falsr_nas.inference.color import rgb_to_ypbpr
from falsr_nas.models.portable import Runner
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.runtime_network import NO_TILES, RuntimeNetwork

TIMED_SIZE = (270, 480)
"""Height and width of the image that is timed, of which an x2 model makes 960x540 pixels."""

CALIBRATION_PATCHES = 16
"""Most patches that calibrate an int8 model, one per image; our choice."""

CALIBRATION_SIDE = 64
"""Height and width of these patches; our choice."""

_RUNS = 7


@dataclass(frozen=True, slots=True)
class Measured:
    """The PSNR of a model, and the time it takes.

    Attributes:
        psnr: in dB on a set, under the protocol ``standard``.
        milliseconds: the shortest of some runs on an image of :data:`TIMED_SIZE`.
    """

    psnr: float
    milliseconds: float


def set_psnr(run: Runner, planes: int, scale: int, files: Sequence[ImageFile]) -> float:
    """Return the mean PSNR of a set's images, upscaled as a whole, in dB.

    Raises:
        UserError: an image cannot be used.
    """
    network = RuntimeNetwork(run, planes, scale, Footprint(NO_TILES, 1))
    return fmean(score_file(network, file, ScoringProtocol.standard).psnr for file in files)


def _milliseconds(runs: Sequence[Runner], planes: int) -> list[float]:
    """Time models on one image: the shortest of some runs each, which take turns.

    Other programs on the machine then slow down all of them alike.
    """
    image = torch.rand(1, planes, *TIMED_SIZE, generator=torch.Generator().manual_seed(0))
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run(image)  # the first run allocates memory
    for _ in range(_RUNS):
        for run, taken in zip(runs, times, strict=True):
            begin = time.perf_counter()
            run(image)
            taken.append(1e3 * (time.perf_counter() - begin))
    return [min(taken) for taken in times]


def measure(
    runs: Sequence[Runner], planes: int, scale: int, files: Sequence[ImageFile]
) -> list[Measured]:
    """Measure the PSNR and the time of models with the same planes and scale."""
    return [
        Measured(set_psnr(run, planes, scale, files), taken)
        for run, taken in zip(runs, _milliseconds(runs, planes), strict=True)
    ]


def calibration_patches(files: Sequence[ImageFile], planes: int, scale: int) -> list[Tensor]:
    """Return the centres of low-resolution images, evenly chosen from a set.

    Returns:
        (1, planes, S, S) each, in [0, 1], where S is :data:`CALIBRATION_SIDE`.

    Raises:
        DataError: no image is large enough.
        UserError: an image cannot be read.
    """
    count = min(len(files), CALIBRATION_PATCHES)
    patches = []
    for file in (files[place * len(files) // count] for place in range(count)):
        image = load_pairs([file], min_side=LEAST_SIDE, scale=scale)[0].lr
        top, left = ((side - CALIBRATION_SIDE) // 2 for side in image.shape[-2:])
        if min(top, left) < 0:
            continue
        rows, columns = (slice(start, start + CALIBRATION_SIDE) for start in (top, left))
        levels = image[None, :, rows, columns] / PEAK
        patches.append((rgb_to_ypbpr(levels)[:, :1] if planes == 1 else levels).contiguous())
    if not patches:
        side = scale * CALIBRATION_SIDE
        raise DataError(f"no image for the calibration has {side}x{side} pixels or more")
    return patches
