"""Measure the time to resume a search: read the store, restore the controller, summarise.

    python benchmarks/resume.py [--evaluations 100000]

Shows wall time and CPU time, which are about equal if the machine is otherwise idle. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.archive.store import Store
from falsr_nas.controller.settings import CONTROLLERS, HybridSettings, NSGA2Settings
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.evaluation.synthetic import synthetic_psnr
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.tracking.progress import Progress, SearchMonitor
from falsr_nas.tracking.tracker import Tracker

SPACE = SearchSpace()
PROBLEM = Problem(SPACE)


def timed(action: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return the result of an action, and its wall and CPU time in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = action()
    return result, {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
    }


def evaluations(count: int) -> list[Evaluation]:
    """Return evaluations of random networks with the score of the synthetic landscape."""
    rng, made = np.random.default_rng(1), {}
    while len(made) < count:
        genome, number = SPACE.sample(rng), len(made)
        psnr = synthetic_psnr(genome)
        origin = Origin(("crossover", "random"), ("0" * 16, "1" * 16))
        candidate = Candidate(genome, genome_cost(genome), origin, number // 64, number)
        made.setdefault(genome.key, Evaluation(candidate, Score(mse_from_psnr(psnr), psnr, 1.0)))
    return list(made.values())


def resume(path: Path) -> dict[str, dict[str, float]]:
    """Return the time of each part of resuming the search of a store."""
    spent: dict[str, dict[str, float]] = {}
    with Store(path) as store:
        told, spent["read the store"] = timed(lambda: store.evaluations(told=True))
    population = [evaluation.key for evaluation in told[-64:]]
    for settings in (NSGA2Settings(population_size=64), HybridSettings(population_size=64)):
        controller = CONTROLLERS.build(settings, PROBLEM, np.random.default_rng(1))
        state = controller.state() | {"population": population, "asked": len(told)}
        _, spent[f"restore {type(controller).__name__}"] = timed(
            lambda c=controller, s=state: c.restore(s, told)
        )
    progress = Progress(Console(file=io.StringIO()))
    _, spent["sum up"] = timed(
        lambda: SearchMonitor(progress, Tracker(), PROBLEM, total=len(told), evaluations=told)
    )
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=100_000)
    count = parser.parse_args().evaluations
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "search.db"
        with Store(path, {}) as store:
            store.commit_state({}, evaluations(count))
        spent = resume(path)
    table = Table("part", "s", "CPU s", title=f"resume with {count:,} evaluations")
    for name, seconds in spent.items():
        table.add_row(name, f"{seconds['seconds']:.2f}", f"{seconds['processor_seconds']:.2f}")
    Console().print(table)
    print(json.dumps({"evaluations": count, "parts": spent}))


if __name__ == "__main__":
    main()
