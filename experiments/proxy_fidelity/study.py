"""Which short training ranks networks as a long one does?

    python experiments/proxy_fidelity/study.py run --train T91 BSDS200 --val Kodak24 [--workers 2]
    python experiments/proxy_fidelity/study.py report

``run`` resumes and prints one line per training; ``report`` prints the tables of README.md from
trainings.jsonl.

Trains GENOMES random networks by every recipe of RECIPES, through the module and trainer that
searches use, and keeps their PSNR at several lengths, and the seconds. The report sets Kendall's
tau of each recipe with the long trainings beside what a second seed of the long training, and the
parameter count, would reach.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from falsr_nas.data.settings import FolderSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.settings import Decay, Precision, Target, TrainingSettings

HERE = Path(__file__).parent
COSTS = (0.0, 4e9, 8e9, 12e9)
"""Bounds, in mult-adds, of classes that hold equally many genomes. A search at a small budget
spans as much."""

GENOMES = 24
MORE_GENOMES = 40
"""For the comparison of precisions, the GENOMES among them."""

CONSTANT = TrainingSettings(
    epochs=3,
    steps_per_epoch=40,
    batch_size=16,
    patch_size=24,
    learning_rate=1e-3,
    warmup=0,
    decay=Decay.constant,
    precision=Precision.fp32,
)
LONG = replace(CONSTANT, epochs=30, warmup=40, decay=Decay.cosine)
SMALL = replace(
    CONSTANT, batch_size=4, patch_size=16, steps_per_epoch=160, warmup=20, decay=Decay.linear
)
"""A ninth of the pixels a step, four times the steps."""

RECIPES: dict[str, tuple[TrainingSettings, int, int]] = {
    # name: settings, seed, genomes
    "long": (LONG, 1, GENOMES),
    "constant": (CONSTANT, 1, MORE_GENOMES),
    "linear": (replace(CONSTANT, decay=Decay.linear), 1, GENOMES),
    "small batches": (SMALL, 1, MORE_GENOMES),
    "rate 3e-3": (replace(CONSTANT, learning_rate=3e-3, warmup=20, decay=Decay.linear), 1, GENOMES),
    "batch 8": (replace(SMALL, batch_size=8, steps_per_epoch=100), 1, GENOMES),
    "small batches, seed 2": (SMALL, 2, MORE_GENOMES),
    "small batches, bf16": (replace(SMALL, precision=Precision.bf16), 1, MORE_GENOMES),
    "long, seed 2": (LONG, 2, 10),
    "small batches, image target": (replace(SMALL, target=Target.image), 1, GENOMES),
}


def genomes(count: int) -> list[Genome]:
    """Return random cells with links of a random density, from the classes of COSTS in turn.

    The first ones do not depend on ``count``.
    """
    rng, space = np.random.default_rng(2019), SearchSpace()
    waiting: list[list[Genome]] = [[] for _ in COSTS[1:]]
    found: list[Genome] = []
    while len(found) < count:
        cells = space.sample(rng).cells
        density = rng.random()
        links = tuple(
            tuple(node for node in range(target - 1) if rng.random() < density)
            for target in range(2, space.n + 2)
        )
        genome = Genome(cells, links)
        place = int(np.searchsorted(COSTS, genome_cost(genome).mult_adds)) - 1
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
    from falsr_nas.training.trainer import plain_trainer, quiet_lightning

    torch.set_num_threads(1)
    recipe, number, text = work
    settings, run_seed, _ = RECIPES[recipe]
    genome = Genome.parse(text)
    seed = evaluation_seed(run_seed, genome.key)
    module = SuperResolution(
        initialized_network(genome, settings.initialization, settings.zero_output, seed),
        settings,
        images(data, settings),
        seed,
    )
    curve: dict[int, float] = {}

    class Curve(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            curve[(trainer.current_epoch + 1) * settings.steps_per_epoch] = module.psnr

    trainer = plain_trainer(
        max_epochs=settings.epochs,
        check_val_every_n_epoch=max(1, settings.epochs // 6),
        accelerator="cpu",
        devices=1,
        num_sanity_val_steps=0,
        callbacks=[Curve()],
    )
    began = time.process_time()
    with quiet_lightning():
        trainer.fit(module, datamodule=images(data, settings))
    cost = genome_cost(genome)
    return {
        "recipe": recipe,
        "number": number,
        "genome": text,
        "params": cost.params,
        "mult_adds": cost.mult_adds,
        "psnr": curve,
        "processor_seconds": round(time.process_time() - began, 2),
    }


_IMAGES: dict[tuple[int, int, int], Any] = {}


def images(data: FolderSettings, settings: TrainingSettings) -> Any:
    """The images, decoded once a process and kept for the other recipes."""
    from falsr_nas.data.datamodule import SuperResolutionData

    shape = (settings.batch_size, settings.patch_size, settings.steps_per_epoch)
    if shape not in _IMAGES:
        _IMAGES[shape] = SuperResolutionData(
            data, batch_size=shape[0], patch_size=shape[1], steps_per_epoch=shape[2]
        )
    return _IMAGES[shape]


def run(options: argparse.Namespace) -> None:
    done = (
        {(row["recipe"], row["number"]) for row in rows(options.file)}
        if options.file.exists()
        else set()
    )
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
            print(
                f"{row['recipe']}, genome {row['number']}: "
                f"{row['psnr']}, {row['processor_seconds']} s",
                flush=True,
            )


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-a: no ties are to be expected."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    return sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs) / len(pairs)


def report(options: argparse.Namespace) -> None:
    by_recipe: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows(options.file):
        by_recipe.setdefault(row["recipe"], {})[row["number"]] = row
    long = by_recipe["long"]
    print(
        "| recipe | steps | tau with the long training | tau with mult-adds | mean PSNR, dB "
        "| processor seconds |"
    )
    print("|---|---|---|---|---|---|")
    for recipe, found in by_recipe.items():
        shared = sorted(found.keys() & long.keys())
        for steps in sorted(map(int, found[0]["psnr"])):
            if recipe == "long" and steps == LONG.steps:
                continue
            psnr = [found[number]["psnr"][str(steps)] for number in shared]
            if any(map(math.isnan, psnr)):
                continue
            seconds = (
                np.mean([found[number]["processor_seconds"] for number in shared])
                * steps
                / RECIPES[recipe][0].steps
            )
            fidelity = tau(psnr, final(long, shared))
            size = tau(psnr, [long[number]["mult_adds"] for number in shared])
            name = recipe if len(shared) == len(long) else f"{recipe} ({len(shared)} genomes)"
            print(
                f"| {name} | {steps} | {fidelity:.2f} | {size:.2f} | {np.mean(psnr):.2f} "
                f"| {seconds:.1f} |"
            )
    shared = sorted(long)
    seeds = [by_recipe[name] for name in ("small batches", "small batches, seed 2")]
    mean = [
        np.mean([found[number]["psnr"][str(SMALL.steps)] for found in seeds]) for number in shared
    ]
    spent = sum(found[number]["processor_seconds"] for found in seeds for number in shared) / len(
        shared
    )
    fidelity = tau(mean, final(long, shared))
    print(
        f"| small batches, mean of two seeds | {SMALL.steps} | {fidelity:.2f} | "
        f"| {np.mean(mean):.2f} | {spent:.1f} |"
    )
    for name in ("params", "mult_adds"):
        print(
            f"| {name}, no training | 0 "
            f"| {tau([long[number][name] for number in shared], final(long, shared)):.2f} | | | 0 |"
        )
    print("\n| precisions and seeds | steps | genomes | tau |\n|---|---|---|---|")
    for a, b in (
        ("small batches", "small batches, bf16"),
        ("small batches", "small batches, seed 2"),
        ("long", "long, seed 2"),
    ):
        if a not in by_recipe or b not in by_recipe:
            continue
        shared = sorted(by_recipe[a].keys() & by_recipe[b].keys())
        for steps in sorted(map(int, by_recipe[b][0]["psnr"])):
            pair = [
                [by_recipe[recipe][number]["psnr"][str(steps)] for number in shared]
                for recipe in (a, b)
            ]
            print(f"| {a} / {b} | {steps} | {len(shared)} | {tau(*pair):.2f} |")


def final(long: dict[int, dict[str, Any]], numbers: Sequence[int]) -> list[float]:
    return [long[number]["psnr"][str(LONG.steps)] for number in numbers]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, default=HERE / "trainings.jsonl")
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--train", type=Path, nargs="+", required=True)
    runner.add_argument("--val", type=Path, required=True)
    runner.add_argument("--workers", type=int, default=2)
    runner.add_argument("--recipes", nargs="*", default=[])
    runner.set_defaults(act=run)
    commands.add_parser("report").set_defaults(act=report)
    options = parser.parse_args()
    act: Callable[[argparse.Namespace], None] = options.act
    act(options)


if __name__ == "__main__":
    main()
