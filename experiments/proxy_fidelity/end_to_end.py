"""Do searches with the new short training, and with a surrogate, find better networks?

    python experiments/proxy_fidelity/end_to_end.py search --train T91 BSDS200 --val Kodak24
    python experiments/proxy_fidelity/end_to_end.py retrain --train T91 BSDS200 --val Kodak24
    python experiments/proxy_fidelity/end_to_end.py report

``search`` runs one search for each seed and each of three kinds, all of the same processor time,
which other work on the machine does not shorten: the defaults (new); with the short training of
version 0.1 (old); and with plain NSGA-II instead of the screened one (nsga2). ``retrain`` trains
the front that each of them reports from scratch by the study's reference recipe. ``report`` prints
the hypervolume of the fronts by their scores in the search, and by those after retraining. All
three resume: searches that used up their time and networks that are trained are not repeated.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import study

from falsr_nas.data.settings import FolderSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome

HERE = Path(__file__).parent
SEED = 21
"""Of the retraining: none of the study's."""

PSNR = (28.0, 30.5)
"""Bounds of the hypervolume in dB: what interpolation scores, and more than any network here."""

COMMON = (
    "+experiment=x2_291",
    "tracking=none",
    "candidates=100000",
    "constraints.max_mult_adds=12",
    "controller.population_size=16",
)
CORES = 2
"""Of the machine whose minutes ``--minutes`` counts: two minutes of processor time each."""

KINDS = {
    "old": (
        "training.epochs=10",
        "training.learning_rate=1e-3",
        "training.expansion=null",
        "training.decay=linear",
        "training.ema=null",
        "training.initialization=he",
        "evaluator.common_patches=false",
    ),
    "new": (),  # the defaults
    "nsga2": ("controller=nsga2",),  # without a surrogate
}
"""Settings of the kinds of searches."""


def search(options: argparse.Namespace) -> None:
    """Run the searches that have not used up their time, one after the other."""
    data = [f"data.train_dirs=[{','.join(map(str, options.train))}]", f"data.val_dir={options.val}"]
    for seed in options.seeds:
        for name, changes in KINDS.items():
            folder = options.output / f"{name}_{seed}"
            settings = [*COMMON, *changes, *data, f"seed={seed}", f"run_dir={folder}"]
            spend(settings, folder, 60 * CORES * options.minutes)


def spend(settings: list[str], folder: Path, seconds: float) -> None:
    """Run or resume a search until it has used ``seconds`` of processor time in all.

    The time is that of all its processes, and is stored in the search's folder.
    """
    path = folder / "seconds.json"
    before = float(json.loads(path.read_text())) if path.exists() else 0.0
    if before >= seconds:
        return
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, "-m", "falsr_nas.search", *settings])
    try:
        while True:
            time.sleep(1)
            if process.poll() is not None:
                raise SystemExit(f"{folder}: the search ended with {process.returncode}")
            spent = before + processor_seconds(process.pid)
            path.write_text(f"{spent:.1f}\n")
            if spent >= seconds:
                break
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def processor_seconds(pid: int) -> float:
    """Return the processor seconds of a process and its descendants, those that ended included."""
    total = 0.0
    search = psutil.Process(pid)
    for process in [search, *search.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def fronts(output: Path) -> dict[str, list[Any]]:
    """Return the front that each search reports, by the name of its folder."""
    from falsr_nas.archive.store import Store
    from falsr_nas.objectives.problem import stored_problem

    found = {}
    for path in sorted(output.glob("*/search.db")):
        with Store(path) as store:
            found[path.parent.name] = stored_problem(store).front(store.evaluations())
    return found


def retrain(options: argparse.Namespace) -> None:
    """Train the networks of all fronts by the reference recipe, each once."""
    done = {row["genome"] for row in study.rows(options.file)}
    members = dict.fromkeys(
        str(one.candidate.genome) for front in fronts(options.output).values() for one in front
    )
    work = [
        ("fronts", "reference", SEED, number, genome)
        for number, genome in enumerate(members)
        if genome not in done
    ]
    data = FolderSettings(train_dirs=tuple(map(str, options.train)), val_dir=str(options.val))
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers) as pool, options.file.open("a") as file:
        for row in pool.imap_unordered(partial(study.train, data=data), work):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{row['genome']}: {_final(row):.3f} dB", flush=True)


def _final(row: dict[str, Any]) -> float:
    return float(list(row["psnr"].values())[-1])


def report(options: argparse.Namespace) -> None:
    """Print a line for each search."""
    import moocore
    import numpy as np

    from falsr_nas.data.levels import mse_from_psnr
    from falsr_nas.objectives.problem import Problem

    problem = Problem(psnr_range=PSNR)
    truth = {row["genome"]: _final(row) for row in study.rows(options.file)}

    def volume(genomes: list[Genome], psnr: list[float]) -> float:
        costs = [genome_cost(genome) for genome in genomes]
        rows = [
            (mse_from_psnr(value), cost.mult_adds, cost.params)
            for value, cost in zip(psnr, costs, strict=True)
        ]
        return float(moocore.hypervolume(problem.unit(np.array(rows, dtype=float)), ref=(1, 1, 1)))

    print("| search | networks on the front | hypervolume by its scores | retrained | best, dB |")
    print("|---|---|---|---|---|")
    for name, front in fronts(options.output).items():
        genomes = [one.candidate.genome for one in front]
        if not all(str(genome) in truth for genome in genomes):
            continue
        seen = volume(genomes, [one.score.psnr for one in front])
        real = [truth[str(genome)] for genome in genomes]
        print(
            f"| {name} | {len(front)} | {seen:.4f} | {volume(genomes, real):.4f}"
            f" | {max(real):.3f} |"
        )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/end_to_end"))
    parser.add_argument("--file", type=Path, default=HERE / "retrained.jsonl")
    commands = parser.add_subparsers(required=True)
    for name, act in (("search", search), ("retrain", retrain)):
        command = commands.add_parser(name)
        command.add_argument("--train", type=Path, nargs="+", required=True)
        command.add_argument("--val", type=Path, required=True)
        command.add_argument(
            "--minutes", type=float, default=20, help="of each search, on two cores"
        )
        command.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
        command.add_argument("--workers", type=int, default=2, help="of the retraining")
        command.set_defaults(act=act)
    commands.add_parser("report").set_defaults(act=report)
    options = parser.parse_args()
    act_of: Callable[[argparse.Namespace], None] = options.act
    act_of(options)


if __name__ == "__main__":
    main()
