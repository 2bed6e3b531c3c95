"""Scoring of models on benchmark sets, with tables for people and JSON for programs."""

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

from falsr_nas.benchmark.image_quality import ProtocolScore
from falsr_nas.benchmark.metrics import PSNR, SSIM, merged
from falsr_nas.benchmark.peers import PEERS_BY_SCALE, Peer
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.core.files import open_atomically
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import list_images
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.sources import ImageFile
from falsr_nas.inference.threads import side_by_side
from falsr_nas.inference.tiling import MEMORY_LIMIT
from falsr_nas.models.model_file import Model
from falsr_nas.networks.baselines import baseline_name
from falsr_nas.networks.counted_cost import network_cost
from falsr_nas.networks.network import Network
from falsr_nas.networks.runtime_network import RuntimeNetwork
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.cost import Cost
from falsr_nas.space.ends import SCALE
from falsr_nas.space.lookup import published_name

LEAST_SIDE = 8
"""Smallest height and width of a low-resolution image: SSIM's window fits its shaved output."""

MOST_IMAGES_AT_A_TIME = 4
"""Most images that are scored in parallel; each gets its share of the memory. Our choice."""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """The score of one image."""

    name: str
    score: ProtocolScore


@dataclass(frozen=True, slots=True)
class SetScore:
    """The mean score of a set, and the score of each of its images."""

    name: str
    mean: ProtocolScore
    images: tuple[ImageScore, ...]


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


def benchmark_sets(root: Path, names: Sequence[str]) -> dict[str, list[ImageFile]]:
    """List the images of several sets by name, see :func:`benchmark_files`.

    Args:
        root: the folder that holds the sets.
        names: folders in it, or absolute paths of folders.

    Raises:
        DataError: a set is missing or cannot be used, or two have the same name.
    """
    sets = {Path(name).name: benchmark_files(root / name) for name in names}
    if len(sets) < len(names):
        raise DataError(f"sets names a folder twice: {list(names)}")
    return sets


def benchmark_files(folder: Path) -> list[ImageFile]:
    """List the images of a set.

    These are pairs named ``*_HR.*`` and ``*_LR.*``, where there are any; otherwise all images of
    the folder, whose low-resolution versions are made when they are scored.

    Raises:
        DataError: the folder is missing or holds no image, an HR image lacks its LR image, or two
            images differ only in their suffix.
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
    """Score a model on sets of images.

    Images are scored in parallel, one per thread of PyTorch, at most
    :data:`MOST_IMAGES_AT_A_TIME`.

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
    scale = model.network.scale
    workers = max(1, min(torch.get_num_threads(), len(jobs), MOST_IMAGES_AT_A_TIME))

    def measure(job: tuple[str, ImageFile]) -> _Measured:
        set_name, file = job
        name = file.hr.stem.removesuffix("_HR")
        pair = load_pairs([file], min_side=LEAST_SIDE, scale=scale)[0]
        output = super_resolve(
            model.network, pair.lr, protocol, memory_limit // workers, self_ensemble
        )
        if save_images is not None:
            _save(output, save_images / set_name / f"{name}_SR.png")
        measured = _Measured(name, PSNR(protocol, scale), SSIM(protocol, scale))
        for metric in (measured.psnr, measured.ssim):
            metric.update(output[None], pair.hr[None])
        return measured

    done: dict[ImageFile, _Measured] = {}
    # The largest first, so that all workers finish at about the same time.
    jobs.sort(key=lambda job: job[1].hr.stat().st_size, reverse=True)
    for (_, file), measured in zip(jobs, side_by_side(measure, jobs, workers), strict=True):
        done[file] = measured
        on_image(measured.name)
    cost = model_cost(model.network)
    return ModelScore(
        model.name,
        None if cost is None else cost.params,
        None if cost is None else cost.mult_adds,
        protocol,
        self_ensemble,
        tuple(_set_score(name, [done[file] for file in files]) for name, files in sets.items()),
        published_as(model.network),
        scale,
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """An image, with metrics that have been updated with its output."""

    name: str
    psnr: PSNR
    ssim: SSIM


def _set_score(name: str, images: Sequence[_Measured]) -> SetScore:
    return SetScore(
        name,
        _score(merged([one.psnr for one in images]), merged([one.ssim for one in images])),
        tuple(ImageScore(one.name, _score(one.psnr, one.ssim)) for one in images),
    )


def _score(psnr: PSNR, ssim: SSIM) -> ProtocolScore:
    return ProtocolScore(float(psnr.compute()), float(ssim.compute()), psnr.protocol)


def model_cost(network: SuperResolver) -> Cost | None:
    """Return a network's parameters and mult-adds; None if they are not known."""
    return network.cost if isinstance(network, RuntimeNetwork) else network_cost(network)


def published_as(network: SuperResolver) -> str | None:
    """Return the name under which a network's architecture was published, or None."""
    if isinstance(network, Network):
        return published_name(network.genome)
    return baseline_name(network)


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
            one.name: {
                **_figures(one.mean),
                "images": {image.name: _figures(image.score) for image in one.images},
            }
            for one in result.sets
        },
    }


def score_table(result: ModelScore) -> Table:
    """Return scores as a table, with the published scores below where there are any."""
    table = Table(
        "model", "params K", "mult-adds G", *(f"{one.name}\nPSNR/SSIM" for one in result.sets)
    )
    table.title = f"x{result.scale}, protocol {result.protocol}" + (
        ", self-ensemble" if result.self_ensemble else ""
    )
    scores = (f"{one.mean.psnr:.4f}/{one.mean.ssim:.5f}" for one in result.sets)
    table.add_row(
        result.model,
        "-" if result.params is None else f"{result.params / 1e3:.1f}",
        "-" if result.mult_adds is None else f"{result.mult_adds / 1e9:.2f}",
        *scores,
    )
    if peer := PEERS_BY_SCALE[result.scale].get(result.published or ""):
        table.add_row(
            f"{peer.name}, published",
            f"{peer.params_k:g}",
            f"{peer.mult_adds_g:g}",
            *(_published(peer, one.name) for one in result.sets),
        )
    return table


def _published(peer: Peer, benchmark: str) -> str:
    if benchmark not in peer.psnr:
        return "-"
    return f"{peer.psnr[benchmark]:.2f}/{peer.ssim[benchmark]:.4f}"


def _figures(score: ProtocolScore) -> dict[str, float | None]:
    return {"psnr": score.psnr if math.isfinite(score.psnr) else None, "ssim": score.ssim}


def _save(image: Tensor, path: Path) -> None:
    with open_atomically(path) as file:
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "PNG")
