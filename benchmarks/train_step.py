"""Measure the time and the FLOP/s of a training step, and compare it with a plain Lightning loop.

    python benchmarks/train_step.py [--patches 32 64] [--seconds 3] [--threads N] [--plain 3]
                                    [--eager] [--networks FALSR-A FALSR-B]

The networks are the published ones, six fixed random genomes, from the smallest to the largest of
200, and c16n5, a chain of 16 channels, which is trained as ``training=final`` does: with an average
of the weights. The table shows milliseconds per step at batch size 16; FLOP/s (two FLOPs per mult-
add; a step counts as three forward passes); their share of the rate of a large matrix product,
measured in the same run; and the time of a plain loop of PyTorch Lightning: float32, NCHW, a
DataLoader that reads PNGs, automatic optimization.
``--eager`` adds the time of our step without its CUDA graph; without a GPU, there is no graph and
both times are of the same code. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import l1_loss
from torch.utils.data import DataLoader, Dataset

from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.degradation import downscale
from falsr_nas.data.images import luma, read_image
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.data.sources import find_images
from falsr_nas.networks.network import BilinearResidual
from falsr_nas.space.cost import genome_cost, input_pixels
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.engine import StepEngine, step_dtype
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.module import residual_batches
from falsr_nas.training.settings import Initialization, StepPrecision

BATCH = 16
CHAIN = "c16n5"
FIRST_STEPS = 5
"""Steps before the first measurement; on a GPU the graph is recorded within them."""
MOST_STEPS = {"cpu": 2, "cuda": 100}
"""Most steps between two looks at the clock."""


def fixed_genomes() -> dict[str, Genome]:
    """Return the published networks and six of 200 random ones, at percentiles of mult-adds."""
    rng, space = np.random.default_rng(0), SearchSpace()
    drawn = sorted(
        (space.sample(rng) for _ in range(200)), key=lambda genome: genome_cost(genome).mult_adds
    )
    chain = Genome.parse(f"stem_f16 {'conv_f16_k3_b1_noskip ' * 5}subpixel_x2")
    return PUBLISHED | {
        CHAIN: chain,
        **{f"random {percent}%": drawn[min(199, 2 * percent)] for percent in range(0, 101, 20)},
    }


def step_flops(genome: Genome, patch: int) -> float:
    """Return the FLOPs of a training step."""
    return 3 * 2 * genome_cost(genome).mult_adds / input_pixels(genome.scale) * BATCH * patch**2


def timed(run: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the median seconds of a call; measure at least three calls, for about ``seconds``."""
    run()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def matrix_rate(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Return the FLOP/s of a large matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / timed(lambda: a @ b, device, seconds)


def our_step(
    genome: Genome,
    patch: int,
    device: torch.device,
    data: SuperResolutionData,
    seconds: float,
    *,
    averaged: bool = False,
    graph: bool = True,
) -> float:
    """Return the seconds of a step of this package's training, with or without a CUDA graph."""
    network = initialized_network(genome, Initialization.he, True, 1)
    network = network.to(device=device, memory_format=torch.channels_last)
    average = list(copy.deepcopy(network).requires_grad_(False).parameters())
    optimizer = torch.optim.Adam(
        network.parameters(), lr=1e-3, fused=True, capturable=device.type == "cuda"
    )
    generator = torch.Generator(device).manual_seed(1)
    rates = torch.full((1_000_000,), 1e-3, device=device)
    dtype = step_dtype(StepPrecision.auto, device)
    engine = StepEngine(
        network,
        optimizer,
        rates,
        residual_batches(data.batches(generator), network.scale),
        dtype,
        average=(average, rates) if averaged else None,
        generator=generator,
        graph=graph,
    )
    engine.run(FIRST_STEPS)
    step = timed(lambda: engine.run(1), device, 0.0)
    steps = max(1, min(MOST_STEPS[device.type], int(seconds / 3 / step)))
    return timed(lambda: engine.run(steps), device, seconds) / steps


class PngPatches(Dataset[tuple[Tensor, Tensor]]):
    """Random patches; the image is read for every patch, as in most training code."""

    def __init__(self, folder: Path, patch: int) -> None:
        self.files = sorted(folder.glob("*_HR.png"))
        self.patch = patch

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        high_file = self.files[index % len(self.files)]
        high = np.asarray(Image.open(high_file))
        low = np.asarray(Image.open(high_file.with_name(high_file.name.replace("_HR", "_LR"))))
        top, left = (np.random.randint(side - self.patch + 1) for side in low.shape[:2])  # noqa: NPY002
        p = self.patch
        cut = (
            low[top : top + p, left : left + p],
            high[2 * top : 2 * (top + p), 2 * left : 2 * (left + p)],
        )
        return tuple(luma(torch.from_numpy(part.copy())).unsqueeze(0) for part in cut)


class PlainLoop(pl.LightningModule):
    """Training by Lightning's own loop, with the same network and loss."""

    def __init__(self, genome: Genome) -> None:
        super().__init__()
        self.model = BilinearResidual(initialized_network(genome, Initialization.he, True, 1))
        self.times: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return l1_loss(self.model(batch[0]), batch[1])

    def on_train_batch_end(self, *_: object) -> None:
        self.times.append(time.perf_counter())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def plain_step(genome: Genome, patch: int, folder: Path, steps: int, batch: int = BATCH) -> float:
    """Return the median seconds of a step of the plain loop."""
    module = PlainLoop(genome)
    trainer = pl.Trainer(
        max_steps=steps + 1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        devices=1,
    )
    trainer.fit(module, DataLoader(PngPatches(folder, patch), batch_size=batch, shuffle=True))
    return statistics.median(np.diff(module.times))


def write_pngs(folder: Path) -> None:
    """Write the training images and their low-resolution versions for the plain loop."""
    for i, file in enumerate(find_images(PhotographsSettings()).train):
        high = read_image(file.hr)
        high = high[:, : high.shape[1] // 2 * 2, : high.shape[2] // 2 * 2]
        for name, image in (("HR", high), ("LR", downscale(high))):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{i}_{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patches", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--networks", nargs="+", help="some of the networks; all by default")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="approximate time of each measurement"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--plain", type=int, default=3, help="steps of the plain loop; 0 to skip it"
    )
    parser.add_argument("--eager", action="store_true", help="also time steps without a CUDA graph")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = step_dtype(StepPrecision.auto, device)
    networks = fixed_genomes()
    if options.networks:
        networks = {name: networks[name] for name in options.networks}
    rate = matrix_rate(device, dtype, options.seconds)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_pngs(Path(folder))
        for patch in options.patches:
            data = SuperResolutionData(
                PhotographsSettings(), batch_size=BATCH, patch_size=patch, steps_per_epoch=1
            )
            for name, genome in networks.items():
                step = partial(our_step, genome, patch, device, data, options.seconds)
                step = partial(step, averaged=name == CHAIN)
                ours = step()
                plain = (
                    plain_step(genome, patch, Path(folder), options.plain)
                    if options.plain
                    else None
                )
                eager = step(graph=False) if options.eager else None
                flops = step_flops(genome, patch) / ours
                print(f"{name}, {patch}: {1e3 * ours:.2f} ms", flush=True)
                rows.append(
                    {
                        "network": name,
                        "mult_adds_g": genome_cost(genome).mult_adds / 1e9,
                        "patch": patch,
                        "ms": 1e3 * ours,
                        "gflops": flops / 1e9,
                        "share_of_matrix_rate": flops / rate,
                        "plain_ms": None if plain is None else 1e3 * plain,
                        "times_plain": None if plain is None else plain / ours,
                        "eager_ms": None if eager is None else 1e3 * eager,
                        "times_eager": None if eager is None else eager / ours,
                    }
                )
    title = (
        f"{device}, {options.threads} threads, {dtype}: matrix product {rate / 1e9:,.0f} GFLOP/s"
    )
    table = Table(
        "network",
        "G",
        "LR patch",
        "ms per step",
        "GFLOP/s",
        "share of matrix rate",
        "plain ms",
        "speed-up",
        "eager ms",
        "speed-up",
        title=title,
    )
    for row in rows:
        others = [
            "-" if row[key] is None else f"{row[key]:.1f}"
            for key in ("plain_ms", "times_plain", "eager_ms", "times_eager")
        ]
        figures = (
            f"{row['ms']:.1f}",
            f"{row['gflops']:,.0f}",
            f"{row['share_of_matrix_rate']:.2f}",
        )
        table.add_row(
            row["network"], f"{row['mult_adds_g']:.1f}", str(row["patch"]), *figures, *others
        )
    Console(width=120).print(table)
    about = {
        "device": str(device),
        "threads": options.threads,
        "dtype": str(dtype),
        "matrix_gflops": rate / 1e9,
        "torch": torch.__version__,
    }
    print(json.dumps(about | {"steps": rows}))


if __name__ == "__main__":
    main()
