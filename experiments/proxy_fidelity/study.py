"""Which short training ranks networks as a long one does?

    python experiments/proxy_fidelity/study.py run --train T91 BSDS200 --val Kodak24 [--workers 2]     # resumes; a line a training
    python experiments/proxy_fidelity/study.py report                                              # tables.md from trainings.jsonl

Trains GENOMES random networks by every recipe of RECIPES, through the module and trainer that searches use, and keeps their PSNR at
several lengths, and the seconds. The report sets Kendall's tau of each recipe with the long trainings beside what a second seed of the
long training, and the parameter count, would reach.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import multiprocessing
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from falsr_nas.data.settings import FolderSettings
from falsr_nas.space.cost import cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.settings import Decay, Initialization, Precision, Target, TrainingSettings

HERE = Path(__file__).parent
COSTS = (0.0, 4e9, 8e9, 12e9)
"""Mult-adds that part the genomes into classes of equal number: a search at a small budget spans as much."""

GENOMES = 24
MORE_GENOMES = 40
"""For the comparison of precisions, the GENOMES among them."""

SHORT = TrainingSettings(epochs=3, steps_per_epoch=40, decay=Decay.constant, precision=Precision.fp32)
LONG = replace(SHORT, epochs=30, warmup=40, decay=Decay.cosine)
PAPER = replace(SHORT, rate=1e-4, target=Target.image, initialization=Initialization.normal, zero_output=False)

RECIPES: dict[str, tuple[TrainingSettings, int, int]] = {
    # name: settings, seed, genomes
    "long": (LONG, 1, GENOMES),
    "constant": (SHORT, 1, MORE_GENOMES),
    "linear": (replace(SHORT, decay=Decay.linear), 1, GENOMES),
    "paper": (PAPER, 1, GENOMES),
    "constant, seed 2": (SHORT, 2, MORE_GENOMES),
    "constant, bf16": (replace(SHORT, precision=Precision.bf16), 1, MORE_GENOMES),
    "long, seed 2": (LONG, 2, GENOMES // 2),
    "patch 16, linear": (replace(SHORT, patch=16, decay=Decay.linear), 1, GENOMES),
    "image target": (replace(SHORT, target=Target.image), 1, GENOMES),
    "rate 3e-4": (replace(SHORT, rate=3e-4), 1, GENOMES),
    "rate 3e-3, linear": (replace(SHORT, rate=3e-3, decay=Decay.linear), 1, GENOMES),
    "normal initialisation": (replace(SHORT, initialization=Initialization.normal), 1, GENOMES),
}

def genomes(count: int) -> list[Genome]:
    """Random cells, links of a random density, the classes of COSTS in turn; the first ones do not depend on ``count``."""
    rng, space = np.random.default_rng(2019), SearchSpace()
    waiting: list[list[Genome]] = [[] for _ in COSTS[1:]]
    found: list[Genome] = []
    while len(found) < count:
        cells = space.sample(rng).cells
        density = rng.random()
        links = tuple(tuple(node for node in range(target - 1) if rng.random() < density) for target in range(2, space.n + 2))
        genome = Genome(cells, links)
        place = int(np.searchsorted(COSTS, cost(genome).mult_adds)) - 1
        if place < len(waiting):
            waiting[place].append(genome)
        while len(found) < count and waiting[len(found) % len(waiting)]:
            found.append(waiting[len(found) % len(waiting)].pop(0))
    return found


def train(work: tuple[str, int, str], data: FolderSettings) -> dict[str, Any]:
    """One training: PSNR at the end of each part of it, and the seconds that its steps took."""
    import pytorch_lightning as pl
    import torch

    from falsr_nas.evaluation.evaluator import evaluation_seed
    from falsr_nas.training.initialization import initialized_network
    from falsr_nas.training.module import SuperResolution

    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    recipe, number, text = work
    settings, run_seed, _ = RECIPES[recipe]
    genome = Genome.parse(text)
    seed = evaluation_seed(run_seed, genome.key)
    module = SuperResolution(
        initialized_network(genome, settings.initialization, settings.zero_output, seed), settings, images(data, settings), seed
    )
    curve: dict[int, float] = {}

    class Curve(pl.Callback):
        def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            steps = (trainer.current_epoch + 1) * settings.steps_per_epoch
            errors = torch.cat(module._errors).double().mean()  # callbacks come before the module's own hook
            curve[steps] = 10 * math.log10(255**2 / float(errors)) if errors.isfinite() else float("nan")

    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        check_val_every_n_epoch=max(1, settings.epochs // 6),
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[Curve()],
    )
    began = time.process_time()
    trainer.fit(module, datamodule=images(data, settings))
    price = cost(genome)
    return {
        "recipe": recipe,
        "number": number,
        "genome": text,
        "params": price.params,
        "mult_adds": price.mult_adds,
        "psnr": curve,
        "processor_seconds": round(time.process_time() - began, 2),
    }


_IMAGES: dict[tuple[int, int, int], Any] = {}


def images(data: FolderSettings, settings: TrainingSettings) -> Any:
    """The images, decoded once a process and kept for the other recipes."""
    from falsr_nas.data.datamodule import SuperResolutionData

    shape = (settings.batch, settings.patch, settings.steps_per_epoch)
    if shape not in _IMAGES:
        _IMAGES[shape] = SuperResolutionData(data, batch=shape[0], patch=shape[1], steps_per_epoch=shape[2])
    return _IMAGES[shape]


def run(options: argparse.Namespace) -> None:
    done = {(row["recipe"], row["number"]) for row in rows(options.file)} if options.file.exists() else set()
    drawn = genomes(MORE_GENOMES)
    work = [
        (recipe, number, str(drawn[number]))
        for recipe, (_, _, count) in RECIPES.items()
        for number in range(count)
        if (recipe, number) not in done and (not options.recipes or recipe in options.recipes)
    ]
    data = FolderSettings(train_dirs=tuple(map(str, options.train)), val_dir=str(options.val))
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers) as pool, options.file.open("a") as file:
        for row in pool.imap_unordered(partial(train, data=data), work):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{row['recipe']}, genome {row['number']}: {row['psnr']}, {row['processor_seconds']} s", flush=True)


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-a: no ties are to be expected."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    return sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs) / len(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=HERE / "trainings.jsonl")
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--train", type=Path, nargs="+", required=True)
    runner.add_argument("--val", type=Path, required=True)
    runner.add_argument("--workers", type=int, default=2)
    runner.add_argument("--recipes", nargs="*", default=[])
    runner.set_defaults(act=run)
    options = parser.parse_args()
    act: Callable[[argparse.Namespace], None] = options.act
    act(options)


if __name__ == "__main__":
    main()
