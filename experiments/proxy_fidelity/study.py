"""Which short training ranks networks as a long one does?

    python experiments/proxy_fidelity/study.py draw
    python experiments/proxy_fidelity/study.py run --train T91 BSDS200 --val Kodak24 [--workers 2]
    python experiments/proxy_fidelity/study.py report

``draw`` draws two sets of networks to genomes.json. ``run`` trains them by every recipe of RECIPES,
through the module and the trainer that searches use, and keeps their PSNR at several lengths and
the processor seconds; it prints a line for each training, and resumes. ``report`` prints the tables
of README.md from trainings.jsonl: see analysis.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from falsr_nas.data.settings import FolderSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.settings import Decay, Initialization, TrainingSettings

HERE = Path(__file__).parent
GENOMES = HERE / "genomes.json"
COUNT = 24
"""Networks of each set."""

NEAR_COSTS = (0.0, 4e9, 8e9, 12e9)
"""Bounds, in mult-adds, of classes that hold equally many networks of the set ``near``."""

WIDE_COSTS = (1.5e9, 40e9)
"""Bounds, in mult-adds, of the set ``wide``; it is uniform in the logarithm of the cost. The
lightest network of the space has 1.3 G."""

PLAIN = TrainingSettings(
    epochs=6,
    steps_per_epoch=80,
    batch_size=4,
    patch_size=16,
    learning_rate=1e-3,
    warmup=20,
    decay=Decay.linear,
    ema=None,
    initialization=Initialization.he,
    expansion=None,
)
"""The previous ``training=short``, but for its 500 steps."""

EXPANDED = replace(PLAIN, learning_rate=5e-4, expansion=64, initialization=Initialization.identity)
AVERAGED = replace(EXPANDED, decay=Decay.constant, ema=0.99)
HE = replace(EXPANDED, initialization=Initialization.he)
LONG = {"epochs": 5, "steps_per_epoch": 800, "decay": Decay.cosine, "ema": 0.999}
REFERENCE = replace(EXPANDED, **LONG)


@dataclass(frozen=True)
class Recipe:
    """A way to train networks, and how far they share random numbers.

    Attributes:
        training: the settings.
        seeds: seeds of independent trainings.
        patches: whether all networks see the same patches.
    """

    training: TrainingSettings
    seeds: tuple[int, ...] = (1, 2)
    patches: bool = False


RECIPES = {
    "reference": Recipe(REFERENCE, seeds=(11, 12, 13)),
    "reference, He": Recipe(replace(HE, patch_size=24, **LONG), seeds=(11,)),
    "plain, He": Recipe(PLAIN),
    "expanded, He": Recipe(HE),
    "expanded": Recipe(EXPANDED),
    "expanded, common patches": Recipe(EXPANDED, patches=True),
    "plain, common patches": Recipe(
        replace(PLAIN, initialization=Initialization.identity), patches=True
    ),
    "constant rate and average": Recipe(AVERAGED, patches=True),
    "average, rate 1e-3": Recipe(replace(AVERAGED, learning_rate=1e-3), patches=True),
    "average, 240 steps": Recipe(replace(AVERAGED, epochs=3), patches=True),
    "average, 960 steps": Recipe(replace(AVERAGED, epochs=12), patches=True),
}
"""By name. Where nothing else is said, the initialization is ``identity``.

Two more are in trainings.jsonl: those with common weights, which left the package."""

PLAN: tuple[tuple[str, str, int], ...] = (
    ("near", "plain, He", 1),
    ("near", "plain, He", 2),
    ("near", "expanded, He", 1),
    ("near", "expanded, He", 2),
    ("near", "reference, He", 11),
    ("near", "expanded, common patches", 1),
    ("near", "expanded, common patches", 2),
    ("near", "reference", 11),
    ("near", "plain, common patches", 1),
    ("near", "plain, common patches", 2),
    ("near", "expanded", 1),
    ("near", "expanded", 2),
    ("near", "constant rate and average", 1),
    ("near", "constant rate and average", 2),
    ("near", "average, rate 1e-3", 1),
    ("near", "average, rate 1e-3", 2),
    ("near", "reference", 12),
    ("wide", "constant rate and average", 1),
    ("wide", "constant rate and average", 2),
    ("wide", "reference", 11),
    ("wide", "plain, He", 1),
    ("wide", "plain, He", 2),
    ("near", "reference", 13),
    ("near", "average, 240 steps", 1),
    ("near", "average, 240 steps", 2),
    ("near", "average, 960 steps", 1),
    ("near", "average, 960 steps", 2),
    ("wide", "reference", 12),
)
"""Set, recipe and seed of each series of trainings, the most informative first."""


def near() -> list[Genome]:
    """Return networks of at most 12 G: random cells with links of a random density."""
    rng, space = np.random.default_rng(2019), SearchSpace()
    waiting: list[list[Genome]] = [[] for _ in NEAR_COSTS[1:]]
    found: list[Genome] = []
    while len(found) < COUNT:
        genome = _linked(list(space.sample(rng).cells), space, rng)
        place = int(np.searchsorted(NEAR_COSTS, genome_cost(genome).mult_adds)) - 1
        if place < len(waiting):
            waiting[place].append(genome)
        while len(found) < COUNT and waiting[len(found) % len(waiting)]:
            found.append(waiting[len(found) % len(waiting)].pop(0))
    return found


def wide() -> list[Genome]:
    """Return networks of 1.5 to 40 G, one in each of equal classes of the logarithm of the cost.

    Each is drawn from a random part of the space: with a maximum of width, repeats and kernel, and
    a share of the operators.
    """
    rng, space = np.random.default_rng(2026), SearchSpace()
    bounds = np.geomspace(*WIDE_COSTS, COUNT + 1)
    found: dict[int, Genome] = {}
    while len(found) < COUNT:
        width, repeats, kernel = (
            int(rng.choice(choices)) for choices in (space.channels, space.repeats, space.kernels)
        )
        operators = set(rng.permutation(space.operators)[: rng.integers(1, 5)])
        allowed = [
            cell
            for cell in space.cells
            if cell.channels <= width
            and cell.repeats <= repeats
            and cell.kernel <= kernel
            and cell.operator.name in operators
        ]
        if not allowed:
            continue
        cells = [allowed[int(i)] for i in rng.integers(len(allowed), size=space.n)]
        genome = _linked(cells, space, rng)
        place = int(np.searchsorted(bounds, genome_cost(genome).mult_adds)) - 1
        if 0 <= place < COUNT:
            found.setdefault(place, genome)
    return [found[place] for place in range(COUNT)]


def _linked(cells: list[Any], space: SearchSpace, rng: np.random.Generator) -> Genome:
    density = rng.random()
    links = tuple(
        tuple(node for node in range(target - 1) if rng.random() < density)
        for target in range(2, space.n + 2)
    )
    return Genome(tuple(cells), links)


def train(work: tuple[str, str, int, int, str], data: FolderSettings) -> dict[str, Any]:
    """Train once; return the PSNR at the end of each sixth, and the seconds that it took."""
    import pytorch_lightning as pl
    import torch

    from falsr_nas.evaluation.evaluator import evaluation_seed
    from falsr_nas.training.initialization import initialized_network
    from falsr_nas.training.module import SuperResolution
    from falsr_nas.training.trainer import plain_trainer, quiet_lightning

    torch.set_num_threads(1)
    group, name, run_seed, number, text = work
    recipe, genome = RECIPES[name], Genome.parse(text)
    settings, own = recipe.training, evaluation_seed(run_seed, genome.key)
    network = initialized_network(genome, settings.initialization, settings.zero_output, own)
    patches = evaluation_seed(run_seed, "common") if recipe.patches else own
    module = SuperResolution(network, settings, images(data, settings), patches)
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
        "set": group,
        "recipe": name,
        "seed": run_seed,
        "number": number,
        "genome": text,
        "params": cost.params,
        "mult_adds": cost.mult_adds,
        "psnr": curve,
        "processor_seconds": round(time.process_time() - began, 2),
    }


_IMAGES: dict[tuple[int, int, int], Any] = {}


def images(data: FolderSettings, settings: TrainingSettings) -> Any:
    """Return the images, decoded once a process and kept for the other recipes."""
    from falsr_nas.data.datamodule import SuperResolutionData

    shape = (settings.batch_size, settings.patch_size, settings.steps_per_epoch)
    if shape not in _IMAGES:
        _IMAGES[shape] = SuperResolutionData(
            data, batch_size=shape[0], patch_size=shape[1], steps_per_epoch=shape[2]
        )
    return _IMAGES[shape]


def draw(options: argparse.Namespace) -> None:
    """Draw the networks of the two sets."""
    drawn = {"near": [str(one) for one in near()], "wide": [str(one) for one in wide()]}
    GENOMES.write_text(json.dumps(drawn, indent=1) + "\n")


def run(options: argparse.Namespace) -> None:
    """Train what is missing, and add it to the file."""
    done = {(row["set"], row["recipe"], row["seed"], row["number"]) for row in rows(options.file)}
    drawn = json.loads(GENOMES.read_text())
    work = [
        (group, name, seed, number, genome)
        for group, name, seed in PLAN
        for number, genome in enumerate(drawn[group])
        if (group, name, seed, number) not in done
    ]
    data = FolderSettings(train_dirs=tuple(map(str, options.train)), val_dir=str(options.val))
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers) as pool, options.file.open("a") as file:
        for row in pool.imap_unordered(partial(train, data=data), work):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(
                f"{row['set']} {row['number']}, {row['recipe']}, seed {row['seed']}: "
                f"{list(row['psnr'].values())[-1]:.3f} dB, {row['processor_seconds']} s",
                flush=True,
            )


def rows(file: Path) -> list[dict[str, Any]]:
    """Return the trainings of a file; none where there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def report(options: argparse.Namespace) -> None:
    """Print the tables."""
    from analysis import tables

    print(tables(rows(options.file)))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, default=HERE / "trainings.jsonl")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("draw").set_defaults(act=draw)
    runner = commands.add_parser("run")
    runner.add_argument("--train", type=Path, nargs="+", required=True)
    runner.add_argument("--val", type=Path, required=True)
    runner.add_argument("--workers", type=int, default=2)
    runner.set_defaults(act=run)
    commands.add_parser("report").set_defaults(act=report)
    options = parser.parse_args()
    act: Callable[[argparse.Namespace], None] = options.act
    act(options)


if __name__ == "__main__":
    main()
