"""Candidates per hour: 32 fixed genomes through the real evaluator, 200 steps each, beside PyTorch Lightning's plain loop.

    python benchmarks/candidates.py [--candidates 32] [--steps 200] [--threads N] [--plain 3]

One evaluation at a time, on ``--threads`` threads. Says where the time goes: building, drawing batches, steps, validation, storing, and
what Lightning and all else take. The plain loop (see train_step.py) is timed for a few steps of each genome and counted for as many steps
as the evaluator takes, without any validation. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

from falsr_nas.candidate import Candidate, Origin
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation import incomplete_training
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.evaluation.incomplete_training import IncompleteTraining
from falsr_nas.evaluation.settings import IncompleteTrainingSettings
from falsr_nas.space.cost import cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.store import Store
from falsr_nas.training.engine import StepEngine
from falsr_nas.training.settings import TrainingSettings
from train_step import plain_step, write_pngs

SPENT: Counter[str] = Counter()


def watched(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its time added to a part's."""

    def call(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            SPENT[part] += time.perf_counter() - began

    return call


def watch() -> None:
    incomplete_training.initialized_network = watched("build", incomplete_training.initialized_network)
    StepEngine.run = watched("steps and batches", StepEngine.run)
    pl.Trainer.validate = watched("validation", pl.Trainer.validate)
    Store.add = watched("store", Store.add)
    batches = SuperResolutionData.batches
    SuperResolutionData.batches = lambda self, generator: watched("batches", batches(self, generator))


def fixed_genomes(count: int) -> list[Genome]:
    """Random genomes of at most 60 G, the limit of the small searches."""
    rng, space = np.random.default_rng(1), SearchSpace()
    found: list[Genome] = []
    while len(found) < count:
        genome = space.sample(rng)
        if cost(genome).mult_adds <= 60e9:
            found.append(genome)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--plain", type=int, default=3, help="steps of the plain loop for each genome; 0 leaves it out")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    genomes = fixed_genomes(options.candidates)
    training = TrainingSettings(epochs=max(1, options.steps // 50), steps_per_epoch=min(50, options.steps))
    evaluator = IncompleteTraining(IncompleteTrainingSettings(threads=options.threads), training, PhotographsSettings(), seed=1)
    evaluator.prepare()
    watch()
    with tempfile.TemporaryDirectory() as folder:
        with Store(Path(folder) / "search.db", {}) as store:
            began = time.perf_counter()
            for number, genome in enumerate(genomes):
                store.add(attempt(evaluator, Candidate(genome, cost(genome), Origin(("sampled",)), 0, number)))
            whole = time.perf_counter() - began
        write_pngs(Path(folder))
        plain = [plain_step(genome, training.patch, Path(folder), options.plain) for genome in genomes] if options.plain else []
    steps = training.epochs * training.steps_per_epoch
    parts = {name: SPENT[name] for name in ("build", "batches", "validation", "store")}
    parts["steps"] = SPENT["steps and batches"] - SPENT["batches"]
    parts["all else"] = whole - sum(parts.values())
    table = Table("part", "s a candidate", "share", title=f"{len(genomes)} candidates of {steps} steps, {options.threads} threads")
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        table.add_row(name, f"{seconds / len(genomes):.3f}", f"{seconds / whole:.1%}")
    Console(width=120).print(table)
    result: dict[str, Any] = {
        "candidates_per_hour": 3600 * len(genomes) / whole,
        "share_beside_steps": 1 - parts["steps"] / whole,
        "seconds": {name: seconds / len(genomes) for name, seconds in parts.items()},
    }
    print(f"{result['candidates_per_hour']:.0f} candidates an hour; everything but the steps: {result['share_beside_steps']:.1%}")
    if plain:
        result["plain_candidates_per_hour"] = 3600 * len(genomes) / (steps * sum(plain))
        result["times_plain"] = result["candidates_per_hour"] / result["plain_candidates_per_hour"]
        print(f"plain loop: {result['plain_candidates_per_hour']:.0f} an hour, so {result['times_plain']:.1f} times")
    print(json.dumps(result | {"steps": steps, "threads": options.threads, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
