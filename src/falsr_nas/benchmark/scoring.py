"""A model's scores on benchmark sets, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.table import Table
from torch import Tensor

from falsr_nas.benchmark.image_quality import ProtocolScore, mean_score, score
from falsr_nas.benchmark.peers import PEERS, Peer
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import list_images
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.sources import ImageFile
from falsr_nas.errors import UserError
from falsr_nas.inference.threads import side_by_side
from falsr_nas.inference.tiling import MEMORY_LIMIT
from falsr_nas.models.model_file import Model
from falsr_nas.networks.baselines import BASELINES
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.profile import network_cost
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.genome import SCALE
from falsr_nas.space.published import PUBLISHED

LEAST = 8
"""Low-resolution pixels that each side of an image needs, so that SSIM's window fits into the shaved output."""

MOST_AT_A_TIME = 4
"""Images that are scored at a time, at most: each gets its share of the memory, and small tiles cost time. Our choice."""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """One image's score."""

    name: str
    score: ProtocolScore


@dataclass(frozen=True, slots=True)
class SetScore:
    """The mean over a set, and the scores that it is the mean of."""

    name: str
    mean: ProtocolScore
    images: tuple[ImageScore, ...]


@dataclass(frozen=True, slots=True)
class ModelScore:
    """A model's scores.

    Attributes:
        model: its name.
        params: parameters.
        mult_adds: at 480 x 480 low-resolution pixels.
        protocol: how all scores here were measured.
        self_ensemble: whether outputs are averages over eight views.
        sets: in the order asked for.
        published: the name of the published network that the model is, if it is one.
    """

    model: str
    params: int
    mult_adds: int
    protocol: ScoringProtocol
    self_ensemble: bool
    sets: tuple[SetScore, ...]
    published: str | None = None


def benchmark_files(folder: Path) -> list[ImageFile]:
    """The images of a set: pairs named ``*_HR.*`` and ``*_LR.*``, or else any images, whose LR is to be made.

    Raises:
        DataError: when the folder is missing or holds no image, a pair lacks its LR image, or two images share a name.
    """
    images = list_images(folder)
    if len({path.stem for path in images}) < len(images):
        raise DataError(f"{folder} holds two images of the same name, apart from the ending")
    high = [path for path in images if path.stem.endswith("_HR")]
    if not high:
        return [ImageFile(path) for path in images]
    low = {path.stem.removesuffix("_LR"): path for path in images if path.stem.endswith("_LR")}
    if not low:
        return [ImageFile(path) for path in high]
    if missing := [path for path in high if path.stem.removesuffix("_HR") not in low]:
        raise DataError(f"{missing[0]} has no LR image beside it, though others in {folder} have")
    return [ImageFile(path, low[path.stem.removesuffix("_HR")]) for path in high]


def score_model(
    model: Model,
    sets: Mapping[str, Sequence[ImageFile]],
    protocol: ScoringProtocol,
    *,
    memory_limit: int = MEMORY_LIMIT,
    self_ensemble: bool = False,
    save_images: Path | None = None,
    on_image: Callable[[str], None] = lambda name: None,
) -> ModelScore:
    """Score a model, as many images at a time as there are threads, but at most :data:`MOST_AT_A_TIME`.

    Args:
        model: to score.
        sets: images by the name of their set.
        protocol: how to score.
        memory_limit: bytes for the activations of all images at a time.
        self_ensemble: average over eight views of each image.
        save_images: folder for the outputs, as ``<set>/<image>_SR.png``.
        on_image: called with each image's name when it is done.

    Raises:
        UserError: when an image cannot be used, an output not be written, or ``memory_limit`` is too small.
    """
    jobs = [(set_name, file) for set_name, files in sets.items() for file in files]
    workers = max(1, min(torch.get_num_threads(), len(jobs), MOST_AT_A_TIME))

    def score_image(job: tuple[str, ImageFile]) -> ImageScore:
        set_name, file = job
        name = file.hr.stem.removesuffix("_HR")
        pair = load_pairs([file], least=LEAST)[0]
        output = super_resolve(
            model.network, pair.lr, protocol, memory_limit // workers, self_ensemble
        )
        if save_images is not None:
            _save(output, save_images / set_name / f"{name}_SR.png")
        return ImageScore(name, score(output[None], pair.hr[None], protocol)[0])

    found: dict[ImageFile, ImageScore] = {}
    jobs.sort(
        key=lambda job: job[1].hr.stat().st_size, reverse=True
    )  # the small ones last, so that all workers end together
    for (_, file), image in zip(jobs, side_by_side(score_image, jobs, workers), strict=True):
        found[file] = image
        on_image(image.name)
    results = []
    for set_name, files in sets.items():
        images = tuple(found[file] for file in files)
        results.append(SetScore(set_name, mean_score([image.score for image in images]), images))
    cost = network_cost(model.network)
    published = published_name(model.network)
    return ModelScore(
        model.name, cost.params, cost.mult_adds, protocol, self_ensemble, tuple(results), published
    )


def published_name(network: SuperResolver) -> str | None:
    """The name under which a network's architecture was published, if it was."""
    if isinstance(network, BilinearResidual):
        return None
    if isinstance(network, Network):
        return next(
            (name for name, genome in PUBLISHED.items() if genome.key == network.genome.key), None
        )
    return next((name for name, build in BASELINES.items() if type(network) is build), None)


def to_json(result: ModelScore) -> dict[str, Any]:
    """A score for programs; an infinite PSNR (equal images) is null."""
    return {
        "model": result.model,
        "published": result.published,
        "protocol": str(result.protocol),
        "scale": SCALE,
        "self_ensemble": result.self_ensemble,
        "params": result.params,
        "mult_adds": result.mult_adds,
        "sets": {
            one.name: {
                **_figures(one.mean),
                "images": {image.name: _figures(image.score) for image in one.images},
            }
            for one in result.sets
        },
    }


def score_table(result: ModelScore) -> Table:
    """A score for people, above the published row where there is one."""
    table = Table(
        "model", "params K", "mult-adds G", *(f"{one.name}\nPSNR/SSIM" for one in result.sets)
    )
    table.title = f"x{SCALE}, protocol {result.protocol}" + (
        ", self-ensemble" if result.self_ensemble else ""
    )
    scores = (f"{one.mean.psnr:.4f}/{one.mean.ssim:.5f}" for one in result.sets)
    table.add_row(
        result.model, f"{result.params / 1e3:.1f}", f"{result.mult_adds / 1e9:.2f}", *scores
    )
    if peer := PEERS.get(result.published or ""):
        table.add_row(
            f"{peer.name}, published",
            f"{peer.params_k:g}",
            f"{peer.mult_adds_g:g}",
            *(_published(peer, one.name) for one in result.sets),
        )
    return table


def _published(peer: Peer, name: str) -> str:
    if name not in peer.psnr:
        return "-"
    return f"{peer.psnr[name]:.2f}/{peer.ssim[name]:.4f}"


def _figures(score: ProtocolScore) -> dict[str, float | None]:
    return {"psnr": score.psnr if math.isfinite(score.psnr) else None, "ssim": score.ssim}


def _save(image: Tensor, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
