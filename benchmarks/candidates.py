"""Measure candidates per hour of the evaluator, and compare it with a plain Lightning loop.

    python benchmarks/candidates.py [--steps 200] [--threads N] [--workers 2] [--plain 3]

32 fixed genomes are trained for 200 steps each. First one evaluation at a time, with ``--threads``
threads; the table shows the time of its parts: building the network, drawing batches, steps,
validation, storing, and everything else, e.g. Lightning. Then ``--workers`` evaluations at a time
with one thread each (on a GPU: sharing it), as in a search. The plain loop (see train_step.py) is
timed for a few steps of each genome, and extrapolated to the steps of the evaluator, without
validation. The last line is one JSON object.
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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

from falsr_nas.archive.candidate import Candidate, Origin
from falsr_nas.archive.store import Store
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation import incomplete_training
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.evaluation.incomplete_training import IncompleteTraining
from falsr_nas.evaluation.settings import IncompleteTrainingSettings
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.engine import StepEngine
from falsr_nas.training.settings import TrainingSettings
from train_step import plain_step, write_pngs

SPENT: Counter[str] = Counter()
"""Seconds by part of an evaluation."""


def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, wrapped so that its time is added to ``SPENT[part]``."""

    def call(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            SPENT[part] += time.perf_counter() - began

    return call


def time_parts() -> None:
    """Time the parts of the evaluator."""
    incomplete_training.initialized_network = timed(
        "build", incomplete_training.initialized_network
    )
    StepEngine.run = timed("steps and batches", StepEngine.run)
    pl.Trainer.validate = timed("validation", pl.Trainer.validate)
    Store.add = timed("store", Store.add)
    batches = SuperResolutionData.batches
    SuperResolutionData.batches = lambda self, *shares: timed("batches", batches(self, *shares))


def fixed_genomes(count: int) -> list[Genome]:
    """Return random genomes of at most 60 G mult-adds, the limit of the small searches."""
    rng, space = np.random.default_rng(1), SearchSpace()
    found: list[Genome] = []
    while len(found) < count:
        genome = space.sample(rng)
        if genome_cost(genome).mult_adds <= 60e9:
            found.append(genome)
    return found


def side_by_side(candidates: list[Candidate], training: TrainingSettings, workers: int) -> float:
    """Return the candidates per hour of several workers, without the time to start them."""
    evaluator = IncompleteTrainingSettings(threads=1)
    make = partial(IncompleteTraining, evaluator, training, PhotographsSettings(), 1)
    with ProcessesExecutor(ProcessesSettings(workers=workers), make) as executor:
        began = time.perf_counter()
        for candidate in candidates:
            executor.submit(candidate)
        for _ in candidates:
            executor.collect()
        return 3600 * len(candidates) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--workers", type=int, default=2, help="evaluations at a time; 0 to skip this part"
    )
    parser.add_argument(
        "--plain",
        type=int,
        default=3,
        help="steps of the plain loop for each genome; 0 to skip it",
    )
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    genomes = fixed_genomes(options.candidates)
    candidates = [
        Candidate(genome, genome_cost(genome), Origin(("sampled",)), 0, number)
        for number, genome in enumerate(genomes)
    ]
    training = TrainingSettings(
        epochs=max(1, options.steps // 50), steps_per_epoch=min(50, options.steps)
    )
    evaluator = IncompleteTraining(
        IncompleteTrainingSettings(threads=options.threads), training, PhotographsSettings(), seed=1
    )
    evaluator.prepare()
    time_parts()
    with tempfile.TemporaryDirectory() as folder:
        with Store(Path(folder) / "search.db", {}) as store:
            began = time.perf_counter()
            for candidate in candidates:
                evaluation = attempt(evaluator, candidate)
                assert evaluation.score is not None, evaluation.outcome
                store.add(evaluation)
            whole = time.perf_counter() - began
        write_pngs(Path(folder))
        plain = [
            plain_step(
                genome, training.patch_size, Path(folder), options.plain, training.batch_size
            )
            for genome in genomes
            if options.plain
        ]
    steps = training.epochs * training.steps_per_epoch
    parts = {name: SPENT[name] for name in ("build", "batches", "validation", "store")}
    parts["steps"] = SPENT["steps and batches"] - SPENT["batches"]
    parts["all else"] = whole - sum(parts.values())
    table = Table(
        "part",
        "s per candidate",
        "share",
        title=f"{len(genomes)} candidates of {steps} steps, {options.threads} threads",
    )
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        table.add_row(name, f"{seconds / len(genomes):.3f}", f"{seconds / whole:.1%}")
    Console(width=120).print(table)
    result: dict[str, Any] = {
        "candidates_per_hour": 3600 * len(genomes) / whole,
        "share_beside_steps": 1 - parts["steps"] / whole,
        "seconds": {name: seconds / len(genomes) for name, seconds in parts.items()},
    }
    print(
        f"{result['candidates_per_hour']:.0f} candidates per hour;"
        f" share of time outside of the steps: {result['share_beside_steps']:.1%}"
    )
    best = result["candidates_per_hour"]
    if options.workers:
        result["workers"] = options.workers
        result["candidates_per_hour_side_by_side"] = side_by_side(
            candidates, training, options.workers
        )
        best = max(best, result["candidates_per_hour_side_by_side"])
        print(
            f"{options.workers} workers with one thread each:"
            f" {result['candidates_per_hour_side_by_side']:.0f} per hour"
        )
    result["hours_for_10000"] = 10_000 / best
    print(f"10,000 such candidates: {result['hours_for_10000']:.1f} hours")
    if plain:
        result["plain_candidates_per_hour"] = 3600 * len(genomes) / (steps * sum(plain))
        result["times_plain"] = best / result["plain_candidates_per_hour"]
        print(
            f"plain loop: {result['plain_candidates_per_hour']:.0f} per hour;"
            f" ours is {result['times_plain']:.1f} times as fast"
        )
    print(
        json.dumps(
            result | {"steps": steps, "threads": options.threads, "torch": torch.__version__}
        )
    )


if __name__ == "__main__":
    main()
