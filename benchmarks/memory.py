"""Measure the memory of evaluating a candidate: how many fit on one GPU, or into the main memory.

    python benchmarks/memory.py [--steps 100]

The published networks and the largest of 200 random ones are trained for a few steps and validated
on one image of the size of DIV2K's, with the recipe of ``+experiment=x2_paper`` and with
``training=modern``, each in a process of its own. On a GPU, the table shows the peaks that PyTorch
allocated and reserved, and by how much the free memory of the device shrank, which also counts the
CUDA context; nothing else should use the GPU meanwhile. In any case it shows the peak of the
process in main memory. All in MiB. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from falsr_nas.execution.devices import visible_gpus
from x2_paper import VAL_SHAPE, x2_paper

NETWORKS = ("FALSR-A", "FALSR-B", "FALSR-C", "random 100%")
RECIPES = ("x2_paper", "modern")
COLUMNS = ("allocated", "reserved", "device", "process")


def peak_of_process() -> float:
    """Return the peak resident memory of this process since its start, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    raise RuntimeError("/proc/self/status has no VmHWM")


def memory_in_use() -> float | None:
    """Return the memory in use on the first GPU by all processes, in MiB; None without a GPU."""
    if not (gpus := visible_gpus()):
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    answer = subprocess.run(
        [*query, "-i", gpus[0]], capture_output=True, text=True, timeout=60, check=False
    )
    used = answer.stdout.strip()
    return float(used) if used.isdigit() else None  # some virtual machines do not tell


def measure(
    name: str, recipe: str, steps: int, root: Path, val_shape: tuple[int, int]
) -> dict[str, Any]:
    """Train and validate a network in this process, and return its peaks in MiB."""
    import torch

    from candidates import checked, numbered
    from falsr_nas.evaluation.evaluator import attempt
    from falsr_nas.evaluation.incomplete_training import IncompleteTraining
    from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
    from falsr_nas.training.settings import MODERN
    from train_step import fixed_genomes

    paper = x2_paper(root, 1, val_shape)
    training = replace(
        paper.training if recipe == "x2_paper" else MODERN, epochs=1, steps_per_epoch=steps
    )
    context = EvaluationContext(training, paper.data, seed=1)
    evaluator = IncompleteTraining(IncompleteTrainingSettings(threads=None), context)
    evaluator.prepare()
    checked(attempt(evaluator, numbered([fixed_genomes()[name]])[0]))
    peaks: dict[str, float | None] = dict.fromkeys(COLUMNS)
    peaks["process"] = peak_of_process()
    if torch.cuda.is_available():
        peaks["allocated"] = torch.cuda.max_memory_allocated() / 2**20
        peaks["reserved"] = torch.cuda.max_memory_reserved() / 2**20
        peaks["device"] = memory_in_use()
    return {"network": name, "recipe": recipe, **peaks}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="as in train_step.py")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    parser.add_argument("--val-shape", type=int, nargs=2, default=VAL_SHAPE, help="height, width")
    options = parser.parse_args()
    before = memory_in_use()
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
        ) as processes,
    ):
        for recipe, name in itertools.product(options.recipes, options.networks):
            root = Path(folder) / f"{len(rows)}"
            row = processes.submit(
                measure, name, recipe, options.steps, root, tuple(options.val_shape)
            ).result()
            if row["device"] is not None:
                row["device"] -= before or 0.0
            rows.append(row)
    table = Table("network", "recipe", *COLUMNS, title="peak memory in MiB")
    for row in rows:
        figures = ["-" if row[key] is None else f"{row[key]:,.0f}" for key in COLUMNS]
        table.add_row(row["network"], row["recipe"], *figures)
    Console(width=120).print(table)
    print(json.dumps({"steps": options.steps, "mib": rows}))


if __name__ == "__main__":
    main()
