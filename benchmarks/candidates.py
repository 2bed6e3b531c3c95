"""Measure candidates per hour of the evaluator, and compare it with a plain Lightning loop.

    python benchmarks/candidates.py [--steps 200] [--threads N] [--workers 2] [--plain 3]
                                    [--paper] [--mps 8] [--seconds N]

32 fixed genomes are trained for 200 steps each. First one evaluation at a time, with ``--threads``
threads; the table shows the time of its parts: building the network, drawing batches, steps,
validation, storing, and everything else, e.g. Lightning. Then ``--workers`` evaluations at a time
with one thread each (on a GPU: sharing it), as in a search; several numbers are measured one after
the other. ``--mps`` does the same under NVIDIA's Multi-Process Service, which lets kernels of
several processes run at the same time. The plain loop (see train_step.py) is timed for a few steps
of each genome, and extrapolated to the steps of the evaluator, without validation.

``--paper`` takes recipe and limit of ``+experiment=x2_paper`` and validates on images of the size
of DIV2K's; the estimate for 10,000 candidates then counts the validation of all 100. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

from falsr_nas.archive.candidate import Candidate, Evaluation, FailureKind, Origin, Score
from falsr_nas.archive.store import Store
from falsr_nas.core.errors import SearchError
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import DataSettings, PhotographsSettings
from falsr_nas.evaluation import incomplete_training
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.evaluation.incomplete_training import IncompleteTraining
from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.module import SuperResolution
from falsr_nas.training.settings import TrainingSettings
from train_step import plain_step, write_pngs
from x2_paper import VAL_IMAGES, VAL_SHAPE, x2_paper

MAX_MULT_ADDS = 60.0
"""G; the limit of the small searches."""

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
    # With the check of the loss, which waits for a GPU to finish.
    SuperResolution.training_step = timed("steps and batches", SuperResolution.training_step)
    pl.Trainer.validate = timed("validation", pl.Trainer.validate)
    Store.add = timed("store", Store.add)
    batches = SuperResolutionData.batches
    SuperResolutionData.batches = lambda self, *shares: timed("batches", batches(self, *shares))


def fixed_genomes(count: int, max_mult_adds: float = MAX_MULT_ADDS) -> list[Genome]:
    """Return random genomes of at most ``max_mult_adds`` G."""
    rng, space = np.random.default_rng(1), SearchSpace()
    found: list[Genome] = []
    while len(found) < count:
        genome = space.sample(rng)
        if genome_cost(genome).mult_adds <= max_mult_adds * 1e9:
            found.append(genome)
    return found


def numbered(genomes: list[Genome]) -> list[Candidate]:
    """Return the genomes as candidates of a search."""
    return [
        Candidate(genome, genome_cost(genome), Origin(("sampled",)), 0, number)
        for number, genome in enumerate(genomes)
    ]


def checked(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation that has a score or diverged.

    Raises:
        SearchError: it failed otherwise.
    """
    outcome = evaluation.outcome
    if isinstance(outcome, Score) or outcome.kind is FailureKind.DIVERGED:
        return evaluation
    raise SearchError(f"{outcome.kind.value}: {outcome.message}\n{outcome.traceback}".rstrip())


def one_at_a_time(
    evaluator: IncompleteTraining, candidates: list[Candidate], seconds: float
) -> tuple[int, float]:
    """Evaluate and store candidates; start none after ``seconds``. Return their number and time."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "search.db", {}) as store:
        began = time.perf_counter()
        for candidate in candidates:
            store.add(checked(attempt(evaluator, candidate)))
            spent = time.perf_counter() - began
            if spent > seconds:
                break
        return store.count(), spent


def side_by_side(
    candidates: list[Candidate], training: TrainingSettings, data: DataSettings, workers: int
) -> float:
    """Return the candidates per hour of several workers, without the time to start them.

    Each worker first evaluates a candidate that is not counted. On a machine with GPUs, as many
    workers share each of them.
    """
    evaluator = IncompleteTrainingSettings(threads=1)
    make = partial(IncompleteTraining, evaluator, training, data, 1)
    settings = (
        ProcessesSettings(workers_per_device=workers)
        if visible_gpus()
        else ProcessesSettings(workers=workers)
    )
    with ProcessesExecutor(settings, make) as executor:

        def evaluate(some: list[Candidate]) -> float:
            began = time.perf_counter()
            for candidate in some:
                executor.submit(candidate)
            for _ in some:
                checked(executor.collect())
            return time.perf_counter() - began

        evaluate((candidates * executor.capacity)[: executor.capacity])
        return 3600 * len(candidates) / evaluate(candidates)


MPS = "nvidia-cuda-mps-control"


@contextmanager
def multi_process_service() -> Iterator[None]:
    """Run NVIDIA's Multi-Process Service for the processes that are started in this block."""
    with tempfile.TemporaryDirectory(prefix="mps") as folder:
        names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
        os.environ.update(dict.fromkeys(names, folder))
        try:
            subprocess.run([MPS, "-d"], check=True, timeout=30)
            try:
                yield
            finally:
                subprocess.run([MPS], input="quit\n", text=True, check=False, timeout=60)
        finally:
            for name in names:
                del os.environ[name]


def side_by_side_of(
    candidates: list[Candidate], training: TrainingSettings, data: DataSettings, workers: list[int]
) -> tuple[dict[int, float], dict[int, str]]:
    """Return the candidates per hour of each number of workers, and why some of them failed."""
    rates: dict[int, float] = {}
    failed: dict[int, str] = {}
    for count in workers:
        try:
            rates[count] = side_by_side(candidates, training, data, count)
        except SearchError as error:  # most likely they do not fit into memory
            failed[count] = str(error)
            print(f"{count} workers: failed, {error}", flush=True)
            continue
        print(f"{count} workers with one thread each: {rates[count]:.0f} per hour", flush=True)
    return rates, failed


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[2], help="evaluations at a time; 0 to skip this"
    )
    parser.add_argument(
        "--plain",
        type=int,
        default=3,
        help="steps of the plain loop for each genome; 0 to skip it",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=math.inf,
        help="one at a time, start no further candidate after this time",
    )
    parser.add_argument("--paper", action="store_true", help="train as +experiment=x2_paper")
    parser.add_argument(
        "--mps", type=int, nargs="+", default=[], help="evaluations at a time under MPS, on a GPU"
    )
    parser.add_argument("--val-images", type=int, default=4, help="with --paper")
    parser.add_argument(
        "--val-shape", type=int, nargs=2, default=VAL_SHAPE, help="with --paper: height, width"
    )
    return parser.parse_args()


def plain_rate(genomes: list[Genome], training: TrainingSettings, plain: int) -> float:
    """Return the candidates per hour of the plain loop, from ``plain`` steps of each genome."""
    with tempfile.TemporaryDirectory() as folder:
        write_pngs(Path(folder))
        seconds = [
            plain_step(genome, training.patch_size, Path(folder), plain, training.batch_size)
            for genome in genomes
        ]
    return 3600 * len(genomes) / (training.steps * sum(seconds))


def print_parts(parts: dict[str, float], title: str) -> None:
    whole = sum(parts.values())
    table = Table("part", "s per candidate", "share", title=title)
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        table.add_row(name, f"{seconds:.3f}", f"{seconds / whole:.1%}")
    Console(width=120).print(table)


def measure(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Measure and print everything; write stand-ins for DIV2K into ``root`` if they are needed."""
    training = TrainingSettings()
    data, limit = PhotographsSettings(), MAX_MULT_ADDS
    missing_validation = 0.0  # as a multiple of the measured one
    if options.paper:
        paper = x2_paper(root, options.val_images, tuple(options.val_shape))
        training, data, limit = paper.training, paper.data, paper.constraints.max_mult_adds
        missing_validation = VAL_IMAGES / options.val_images - 1
    training = replace(
        training, epochs=max(1, options.steps // 50), steps_per_epoch=min(50, options.steps)
    )
    genomes = fixed_genomes(options.candidates, limit)
    candidates = numbered(genomes)
    evaluator = IncompleteTraining(
        IncompleteTrainingSettings(threads=options.threads),
        EvaluationContext(training, data, seed=1),
    )
    evaluator.prepare()
    time_parts()
    count, whole = one_at_a_time(evaluator, candidates, options.seconds)
    parts = {name: SPENT[name] / count for name in ("build", "batches", "validation", "store")}
    parts["steps"] = (SPENT["steps and batches"] - SPENT["batches"]) / count
    parts["all else"] = whole / count - sum(parts.values())
    print_parts(parts, f"{count} candidates of {training.steps} steps, {options.threads} threads")
    rate = 3600 * count / whole
    share = 1 - parts["steps"] * count / whole
    print(f"{rate:.0f} candidates per hour; share of time outside of the steps: {share:.1%}")
    workers = [number for number in options.workers if number]
    together, failed = side_by_side_of(candidates, training, data, workers)
    shared: dict[int, float] = {}
    if options.mps and shutil.which(MPS):
        print("under MPS:", flush=True)
        with multi_process_service():
            shared, shared_failed = side_by_side_of(candidates, training, data, options.mps)
        failed |= shared_failed
    best = max([rate, *together.values(), *shared.values()])
    seconds = whole / count + missing_validation * parts["validation"]
    hours = 10_000 * seconds / 3600 * rate / best
    print(f"10,000 such candidates: {hours:.1f} hours")
    result: dict[str, Any] = {
        "candidates": count,
        "steps": training.steps,
        "paper": options.paper,
        "candidates_per_hour": rate,
        "share_beside_steps": share,
        "seconds": parts,
        "seconds_with_whole_validation": seconds,
        "side_by_side": together,
        "side_by_side_mps": shared,
        "side_by_side_failed": failed,
        "hours_for_10000": hours,
    }
    if options.plain:
        result["plain_candidates_per_hour"] = plain_rate(genomes[:count], training, options.plain)
        result["times_plain"] = best / result["plain_candidates_per_hour"]
        print(
            f"plain loop: {result['plain_candidates_per_hour']:.0f} per hour;"
            f" ours is {result['times_plain']:.1f} times as fast"
        )
    return result


def main() -> None:
    options = parse_options()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    print(json.dumps(result | {"threads": options.threads, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
