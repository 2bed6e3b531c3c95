"""Scoring of models on benchmark sets, with tables for people and JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.table import Table

from falsr_nas.benchmark.image_quality import ProtocolScore, score
from falsr_nas.benchmark.peers import PEERS_BY_SCALE
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.core.files import open_atomically
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.sources import ImageFile
from falsr_nas.inference.threads import side_by_side
from falsr_nas.inference.tiling import MEMORY_LIMIT
from falsr_nas.models.model import Model
from falsr_nas.networks.counted_cost import network_cost
from falsr_nas.networks.network import Network, without_residual
from falsr_nas.networks.runtime_network import RuntimeNetwork
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.ends import SCALE
from falsr_nas.space.lookup import published_name

LEAST_SIDE = 8
"""Smallest height and width of a low-resolution image: SSIM's window fits its shaved output."""

MOST_IMAGES_AT_A_TIME = 4
"""Most images that are scored in parallel; each gets its share of the memory. Our choice."""


@dataclass(frozen=True, slots=True)
class SetScore:
    """The mean score of a set, and the scores of its images by their names."""

    name: str
    mean: ProtocolScore
    images: Mapping[str, ProtocolScore] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelScore:
    """The scores of a model.

    Attributes:
        model: the model's name.
        params: number of parameters, or None, as ``mult_adds``.
        mult_adds: mult-adds for 960x960 output; None where the graph of an ONNX file does not tell.
        protocol: the scoring protocol of all scores.
        self_ensemble: whether outputs are averages over the eight flips and rotations.
        sets: scores by set, in the order in which the sets were given.
        published: the name under which the network was published, or None.
        scale: upscaling factor of the model.
    """

    model: str
    params: int | None
    mult_adds: int | None
    protocol: ScoringProtocol
    self_ensemble: bool
    sets: tuple[SetScore, ...]
    published: str | None = None
    scale: int = SCALE


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
    """Score a model on sets of images, up to :data:`MOST_IMAGES_AT_A_TIME` in parallel.

    Args:
        model: the model to score.
        sets: the images of each set by the set's name.
        protocol: how outputs are quantised and compared.
        memory_limit: bytes for the activations of all images that are scored in parallel.
        self_ensemble: average outputs over the eight flips and rotations of each image.
        save_images: folder for the outputs, written as ``<set>/<image>_SR.png``.
        on_image: called with the name of each image when it is done.

    Raises:
        UserError: an image cannot be used, an output cannot be written, or ``memory_limit`` is too
            small.
    """
    jobs = [(set_name, file) for set_name, files in sets.items() for file in files]
    workers = max(1, min(torch.get_num_threads(), len(jobs), MOST_IMAGES_AT_A_TIME))

    def measure(job: tuple[str, ImageFile]) -> ProtocolScore:
        set_name, file = job
        output = f"{set_name}/{_name(file)}_SR.png"
        return score_file(
            model.network,
            file,
            protocol,
            memory_limit // workers,
            self_ensemble=self_ensemble,
            output=None if save_images is None else save_images / output,
        )

    done: dict[ImageFile, ProtocolScore] = {}
    # The largest first, so that all workers finish at about the same time.
    jobs.sort(key=lambda job: job[1].hr.lstat().st_size, reverse=True)
    for (_, file), measured in zip(jobs, side_by_side(measure, jobs, workers), strict=True):
        done[file] = measured
        on_image(_name(file))
    network = without_residual(model.network)
    cost = network.cost if isinstance(network, RuntimeNetwork) else network_cost(network)
    return ModelScore(
        model.name,
        None if cost is None else cost.params,
        None if cost is None else cost.mult_adds,
        protocol,
        self_ensemble,
        tuple(
            _set_score(name, {_name(file): done[file] for file in files})
            for name, files in sets.items()
        ),
        published_as(network),
        network.scale,
    )


def score_file(
    network: SuperResolver,
    file: ImageFile,
    protocol: ScoringProtocol,
    memory_limit: int = MEMORY_LIMIT,
    *,
    self_ensemble: bool = False,
    output: Path | None = None,
) -> ProtocolScore:
    """Score a network on one image, and write what it makes of it to ``output``.

    Raises:
        UserError: as :func:`score_model`.
    """
    pair = load_pairs([file], min_side=LEAST_SIDE, scale=network.scale)[0]
    image = super_resolve(network, pair.lr, protocol, memory_limit, self_ensemble)
    if output is not None:
        with open_atomically(output) as content:
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(content, "PNG")
    return score(image[None], pair.hr[None], protocol, network.scale)[0]


def _name(file: ImageFile) -> str:
    return file.hr.stem.removesuffix("_HR")


def _set_score(name: str, images: Mapping[str, ProtocolScore]) -> SetScore:
    """Return the score of a set: the mean is that of its images, added up in their order."""
    scores = [*images.values()]
    psnr = reduce(add, (image.psnr for image in scores)) / len(scores)
    ssim = reduce(add, (image.ssim for image in scores)) / len(scores)
    return SetScore(name, ProtocolScore(psnr, ssim, scores[0].protocol), images)


def published_as(network: SuperResolver) -> str | None:
    """Return the name under which a network's architecture was published, or None."""
    return published_name(network.genome) if isinstance(network, Network) else None


def to_json(result: ModelScore) -> dict[str, Any]:
    """Return scores as plain values for JSON; infinite PSNR (equal images) becomes null."""
    return {
        "model": result.model,
        "published": result.published,
        "protocol": str(result.protocol),
        "scale": result.scale,
        "self_ensemble": result.self_ensemble,
        "params": result.params,
        "mult_adds": result.mult_adds,
        "sets": {
            scored.name: {
                **_figures(scored.mean),
                "images": {name: _figures(image) for name, image in scored.images.items()},
            }
            for scored in result.sets
        },
    }


def score_table(result: ModelScore) -> Table:
    """Return scores as a table, with the published scores below where there are any."""
    table = Table(
        "model", "params K", "mult-adds G", *(f"{scored.name}\nPSNR/SSIM" for scored in result.sets)
    )
    table.title = f"x{result.scale}, protocol {result.protocol}" + (
        ", self-ensemble" if result.self_ensemble else ""
    )
    means = [scored.mean for scored in result.sets]
    table.add_row(
        result.model,
        "-" if result.params is None else f"{result.params / 1e3:.1f}",
        "-" if result.mult_adds is None else f"{result.mult_adds / 1e9:.2f}",
        *(f"{mean.psnr:.4f}/{mean.ssim:.5f}" for mean in means),
    )
    if peer := PEERS_BY_SCALE[result.scale].get(result.published or ""):
        published = {name: f"{peer.psnr[name]:.2f}/{peer.ssim[name]:.4f}" for name in peer.psnr}
        table.add_row(
            f"{peer.name}, published",
            f"{peer.params_k:g}",
            f"{peer.mult_adds_g:g}",
            *(published.get(scored.name, "-") for scored in result.sets),
        )
    return table


def _figures(score: ProtocolScore) -> dict[str, float | None]:
    return {"psnr": score.psnr if math.isfinite(score.psnr) else None, "ssim": score.ssim}
