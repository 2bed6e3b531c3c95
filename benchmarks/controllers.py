"""Compare all controllers on the synthetic landscape.

    python benchmarks/controllers.py --seeds 20 --evaluations 2000 --jobs 2

Writes hypervolume curves, evaluations to a target and Wilcoxon's test; with --time it measures ask
and tell instead. Runs whose results are in the output folder are not repeated. The last line of
standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from scipy.stats import wilcoxon

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.objectives import ObjectiveScale, hypervolume
from falsr_nas.controller.hybrid import Hybrid
from falsr_nas.controller.reward import Reward
from falsr_nas.controller.settings import (
    CONTROLLERS,
    AgingSettings,
    Constraints,
    ControllerSettings,
    Crossover,
    HybridSettings,
    NSGA2Settings,
    OptunaSettings,
    PolicySettings,
    PymooSettings,
    RandomSettings,
    RewardKind,
    RewardSettings,
)
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.space.search_space import SearchSpace

POPULATION = 64  # as in the paper

COMPARED: dict[str, ControllerSettings] = {
    "random": RandomSettings(population_size=POPULATION),
    "optuna": OptunaSettings(population_size=POPULATION),
    "pymoo": PymooSettings(population_size=POPULATION),
    "aging": AgingSettings(population_size=POPULATION),
    "nsga2": NSGA2Settings(population_size=POPULATION),
    "hybrid": HybridSettings(population_size=POPULATION),
}
REFERENCE = "nsga2"
"""Baseline: the others are compared with it, paired by seed; its median result is the target."""

Curves = dict[str, dict[int, dict[int, float]]]
"""Hypervolume by controller, seed and evaluations."""


def evaluate(settings: ControllerSettings, seed: int, evaluations: int) -> dict[int, float]:
    """Run a search; return the hypervolume by the number of evaluations after each generation."""
    space = SearchSpace()
    scale, evaluator = ObjectiveScale.of_space(space), SyntheticEvaluator(SyntheticSettings(), seed)
    controller = CONTROLLERS.build(settings, space, Constraints(), np.random.default_rng(seed))
    told: list[Evaluation] = []
    curve: dict[int, float] = {}
    while len(told) < evaluations:
        outcomes = [
            Evaluation(candidate, evaluator.evaluate(candidate))
            for candidate in controller.ask(settings.population_size)
        ]
        controller.tell(outcomes)
        told = (told + outcomes)[:evaluations]
        curve[len(told)] = hypervolume(told, scale)
    return curve


def job(task: tuple[str, int, int]) -> tuple[str, int, dict[int, float]]:
    """Run the search of a controller, seed and number of evaluations, in a worker process."""
    name, seed, evaluations = task
    torch.set_num_threads(1)
    return name, seed, evaluate(COMPARED[name], seed, evaluations)


def read(path: Path) -> Curves:
    curves: Curves = defaultdict(lambda: defaultdict(dict))
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                curves[row["controller"]][int(row["seed"])][int(row["evaluations"])] = float(
                    row["hypervolume"]
                )
    return curves


def write(path: Path, curves: Curves) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["controller", "seed", "evaluations", "hypervolume"])
        for name in sorted(curves):
            for seed in sorted(curves[name]):
                writer.writerows(
                    [name, seed, count, f"{value:.6f}"]
                    for count, value in sorted(curves[name][seed].items())
                )


def summary(curves: Curves, evaluations: int) -> dict[str, dict[str, float | int | None]]:
    """Return the results of each controller, the one with the best median first.

    The p-value is that of Wilcoxon's signed-rank test against the reference.
    """
    final = {
        name: {seed: curve[evaluations] for seed, curve in runs.items()}
        for name, runs in curves.items()
    }
    target = float(np.median(list(final[REFERENCE].values())))
    table: dict[str, dict[str, float | int | None]] = {}
    for name, runs in final.items():
        values = list(runs.values())
        low, middle, high = np.percentile(values, [25, 50, 75])
        reached = [
            next((n for n, v in sorted(curve.items()) if v >= target), None)
            for curve in curves[name].values()
        ]
        median_count = np.median([np.inf if count is None else count for count in reached])
        paired = [
            (value, final[REFERENCE][seed])
            for seed, value in runs.items()
            if seed in final[REFERENCE]
        ]
        differences = np.array([a - b for a, b in paired])
        table[name] = {
            "seeds": len(values),
            "median": round(float(middle), 4),
            "quartile_1": round(float(low), 4),
            "quartile_3": round(float(high), 4),
            "reached_target": sum(count is not None for count in reached),
            "median_evaluations_to_target": int(median_count)
            if np.isfinite(median_count)
            else None,
            "wins": int((differences > 0).sum()),
            "median_difference": round(float(np.median(differences)), 4),
            "p_value": None if name == REFERENCE else float(wilcoxon(differences).pvalue),
        }
    return dict(sorted(table.items(), key=lambda item: -float(item[1]["median"] or 0)))


def draw(path: Path, curves: Curves, order: list[str]) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name in order:
        counts = sorted(next(iter(curves[name].values())))
        values = np.array([[curve[count] for count in counts] for curve in curves[name].values()])
        low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
        (line,) = axes.plot(counts, middle, label=name)
        axes.fill_between(counts, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
    axes.set(
        xlabel="evaluations",
        ylabel="hypervolume",
        title="Synthetic landscape: median and quartiles",
    )
    axes.legend(loc="center right")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def ask_tell_ms(name: str, evaluations: int = 10_000) -> float:
    """Return the CPU time of ask and tell of a generation, in ms.

    It is the median of nine generations after ``evaluations`` evaluations.
    """
    settings, space = COMPARED[name], SearchSpace()
    evaluator = SyntheticEvaluator(SyntheticSettings(), 0)
    controller = CONTROLLERS.build(settings, space, Constraints(), np.random.default_rng(0))
    spent: list[float] = []
    for _ in range(-(-evaluations // settings.population_size) + 9):
        began = time.process_time()
        candidates = controller.ask(settings.population_size)
        asked = time.process_time()
        outcomes = [
            Evaluation(candidate, evaluator.evaluate(candidate)) for candidate in candidates
        ]
        ready = time.process_time()
        controller.tell(outcomes)
        spent.append(asked - began + time.process_time() - ready)
    return round(1000 * float(np.median(spent[-9:])), 1)


def operators(seeds: range, evaluations: int, rate: float) -> dict[str, dict[str, float]]:
    """Compare the operators of the hybrid controller by the children that they create.

    Children of the first quarter of the search do not count. Returns, for each last operator, the
    share of children that joined the front and their mean ``rank`` reward. The entry ``cells`` has
    the mean entropy of the policy's cells, and that of a uniform distribution, in nats.

    Args:
        seeds: seeds of the searches.
        evaluations: evaluations of each search.
        rate: learning rate of the policy.
    """
    space, settings = (
        SearchSpace(),
        HybridSettings(POPULATION, policy=PolicySettings(learning_rate=rate)),
    )
    scale = ObjectiveScale.of_space(space)
    rewards: dict[str, list[float]] = defaultdict(list)
    entropies: list[float] = []
    for seed in seeds:
        evaluator, rank = (
            SyntheticEvaluator(SyntheticSettings(), seed),
            Reward(RewardSettings(RewardKind.rank), scale, Constraints()),
        )
        controller = Hybrid(settings, space, Constraints(), np.random.default_rng(seed))
        while controller.admission.asked < evaluations:
            outcomes = [
                Evaluation(candidate, evaluator.evaluate(candidate))
                for candidate in controller.ask(settings.population_size)
            ]
            controller.tell(outcomes)
            for outcome, reward in zip(outcomes, rank(outcomes), strict=True):
                if outcome.candidate.number >= evaluations // 4:
                    rewards[outcome.candidate.origin.operators[-1]].append(reward)
        probabilities = controller.reinforced.policy.cell_logits.detach().softmax(1).numpy()
        entropies.append(float(-(probabilities * np.log(probabilities)).sum(1).mean()))
    table = {
        name: {
            "children": len(values),
            "joined_front": round(float(np.mean(np.array(values) >= 1)), 3),
            "reward": round(float(np.mean(values)), 3),
        }
        for name, values in sorted(rewards.items())
    }
    return table | {
        "cells": {
            "entropy": round(float(np.mean(entropies)), 2),
            "uniform": round(float(np.log(len(space.distinct_cells))), 2),
        }
    }


def crossovers(seeds: range, evaluations: int) -> dict[str, object]:
    """Compare the two crossovers of NSGA-II by the final hypervolume, paired by seed."""
    final: dict[str, list[float]] = {}
    for crossover in Crossover:
        settings = NSGA2Settings(population_size=POPULATION, crossover=crossover)
        final[crossover] = [evaluate(settings, seed, evaluations)[evaluations] for seed in seeds]
    difference = np.array(final[Crossover.paper]) - np.array(final[Crossover.single_point])
    return {
        "median": {name: round(float(np.median(values)), 4) for name, values in final.items()},
        "mean_difference": round(float(difference.mean()), 4),
        "standard_error": round(float(difference.std(ddof=1) / len(difference) ** 0.5), 4),
        "paper_wins": int((difference > 0).sum()),
        "p": round(float(wilcoxon(difference).pvalue), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--controllers", nargs="+", default=list(COMPARED), choices=list(COMPARED))
    parser.add_argument("--out", type=Path, default=Path("experiments/controllers"))
    parser.add_argument(
        "--time",
        action="store_true",
        help="only time ask and tell of hybrid and nsga2 after 10,000 evaluations",
    )
    parser.add_argument(
        "--operators",
        type=float,
        metavar="RATE",
        help="only compare the hybrid's operators at this learning rate of the policy",
    )
    parser.add_argument(
        "--crossovers", action="store_true", help="only compare NSGA-II's two crossovers"
    )
    options = parser.parse_args()
    if options.crossovers:
        seeds = range(3000, 3000 + options.seeds)
        print(json.dumps(crossovers(seeds, options.evaluations)))
        return
    if options.operators is not None:
        print(
            json.dumps(
                operators(range(2000, 2000 + options.seeds), options.evaluations, options.operators)
            )
        )
        return
    if options.time:
        print(
            json.dumps({f"{name}_ask_tell_ms": ask_tell_ms(name) for name in ("nsga2", "hybrid")})
        )
        return
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "curves.csv"
    curves = read(path)
    wanted = [
        (name, seed, options.evaluations)
        for name in options.controllers
        for seed in range(1, options.seeds + 1)
    ]
    tasks = [task for task in wanted if task[2] not in curves[task[0]][task[1]]]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for name, seed, curve in pool.imap_unordered(job, tasks):
            curves[name][seed] = curve
            write(path, curves)
    seeds = range(1, options.seeds + 1)
    curves = {
        name: {seed: runs[seed] for seed in seeds if options.evaluations in runs[seed]}
        for name, runs in curves.items()
    }
    if not curves.get(REFERENCE):
        return
    table = summary(curves, options.evaluations)
    draw(options.out / "hypervolume.png", curves, list(table))
    (options.out / "summary.json").write_text(json.dumps(table, indent=2) + "\n")
    for name, row in table.items():
        print(f"{name:8}", "  ".join(f"{key} {value}" for key, value in row.items()))
    print(json.dumps(table))


if __name__ == "__main__":
    main()
