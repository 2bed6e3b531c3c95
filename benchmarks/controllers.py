r"""Compare controllers on random landscapes by the true hypervolume of the front that they report.

    python benchmarks/controllers.py --controllers nsga2 screening --seeds 20 --evaluations 512

The whole comparison, of which the last controllers need falsr-nas[compare]:

    python benchmarks/controllers.py --evaluations 512 --reference screening --controllers \
        screening screening-80 nsga2 hybrid aging random optuna optuna-our-start \
        optuna-tpe optuna-tpe-our-start pymoo pymoo-our-start

On real trainings:

    python benchmarks/controllers.py --landscape experiments/landscape/trainings.csv \
        --out experiments/landscape --controllers screening nsga2 random

Each seed has a landscape of its own (``plugins/random_landscape.py``), with noise of 0.3 dB.
With --landscape, all have the one that is fitted to these trainings
(``plugins/landscape.py``), with their noise and a limit of 12 G.

After 256, 512, 1,024 and 2,048 evaluations, the networks of the front, by their scores with noise,
are scored without noise: that front's hypervolume counts. Results are appended to ``runs.jsonl`` in
the output folder; what is there is not run again. Prints a table, and writes it as
``summary.json`` and ``hypervolume.png``. With --time, ask and tell are timed instead. The last line
of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import wilcoxon

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.controller.base import BaseController
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import (
    CONTROLLERS,
    ControllerSettings,
    ExplorationSettings,
    HybridSettings,
    NSGA2Settings,
    RandomSettings,
    ScreeningSettings,
)
from falsr_nas.core.plugins import load_plugins
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation.psnr_range import psnr_range
from falsr_nas.evaluation.settings import EVALUATORS, EvaluationContext
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.settings import TrainingSettings

load_plugins(
    Path(__file__).parents[1] / "plugins" / f"{name}.py"
    for name in ("aging", "landscape", "optuna_sampler", "pymoo_nsga2", "random_landscape")
)

POPULATION = 64  # as in the paper
MARKS = (256, 512, 1024, 2048)
NOISE = 0.3
MOST = 12.0
"""Limit on mult-adds with --landscape, in G: that of the trainings."""
SPACE = SearchSpace()

PAPER = NSGA2Settings(POPULATION)
ATTRIBUTE = replace(PAPER, exploration=ExplorationSettings(p_attribute=0.5))
AGING, OPTUNA, PYMOO = (CONTROLLERS.schemas[name] for name in ("aging", "optuna", "pymoo"))
TPE = OPTUNA(POPULATION, sampler="tpe")

COMPARED: dict[str, ControllerSettings] = {
    "random": RandomSettings(POPULATION),
    "optuna": OPTUNA(POPULATION),
    "optuna-tpe": TPE,
    "pymoo": PYMOO(POPULATION),
    "aging": AGING(POPULATION),
    "nsga2": PAPER,
    "nsga2-attribute": ATTRIBUTE,
    "hybrid": HybridSettings(POPULATION),
    "screening": ScreeningSettings(POPULATION),
    "screening-80": ScreeningSettings(POPULATION, 80),
    "screening-plain": replace(PAPER, screening=20),
    "screening-hybrid": HybridSettings(POPULATION, 20, exploration=ATTRIBUTE.exploration),
    "optuna-our-start": OPTUNA(POPULATION),
    "optuna-tpe-our-start": TPE,
    "pymoo-our-start": PYMOO(POPULATION),
}
"""Controllers by name; those named ``-our-start`` begin with the initial population of nsga2."""


@dataclass(frozen=True)
class Row:
    """The state of a search after a number of evaluations.

    Attributes:
        controller: a key of :data:`COMPARED`.
        seed: seed of the search and of its landscape.
        evaluations: number of evaluations so far.
        true: hypervolume of the reported front by quality without noise.
        reported: hypervolume of the same front by its scores.
        denoised: like ``true``, for the front chosen by the surrogate's scores without noise; None
            where the controller has no surrogate.
        seconds: processor time of ask and tell so far.
    """

    controller: str
    seed: int
    evaluations: int
    true: float
    reported: float
    denoised: float | None
    seconds: float


def rescored(evaluations: Sequence[Evaluation], psnr: Sequence[float]) -> list[Evaluation]:
    return [
        Evaluation(one.candidate, Score(mse_from_psnr(value), value, 0.0))
        for one, value in zip(evaluations, psnr, strict=True)
    ]


class Race:
    """One controller on one landscape."""

    def __init__(self, name: str, seed: int, landscape: Path | None = None) -> None:
        self.name, self.seed = name, seed
        if landscape is not None:
            settings = EVALUATORS.schemas["landscape"](path=str(landscape))
        else:
            settings = EVALUATORS.schemas["random_landscape"](landscape=seed, noise=NOISE)
        context = EvaluationContext(TrainingSettings(), PhotographsSettings(), seed)
        limits = Constraints(max_mult_adds=MOST if landscape else None)
        measured = psnr_range(settings, context)
        assert measured is not None
        self.problem = Problem(SPACE, constraints=limits, psnr_range=measured)
        self.evaluator = EVALUATORS.build(settings, context)
        rng = np.random.default_rng(seed)
        controller = CONTROLLERS.build(COMPARED[name], self.problem, rng)
        assert isinstance(controller, BaseController)
        self.controller = controller
        self.told: list[Evaluation] = []
        self.seconds = 0.0
        if name.endswith("-our-start"):
            first = self.evaluated(
                NSGA2(PAPER, self.problem, np.random.default_rng(seed)).ask(POPULATION)
            )
            controller.admission.restore(POPULATION, [one.key for one in first])
            controller.tell(first)
            self.told += first

    def run(self, evaluations: int) -> list[Row]:
        rows: list[Row] = []
        while len(self.told) < evaluations:
            began = time.process_time()
            candidates = self.controller.ask(POPULATION)
            asked = time.process_time()
            new = self.evaluated(candidates)
            ready = time.process_time()
            self.controller.tell(new)
            self.seconds += asked - began + time.process_time() - ready
            self.told += new
            if len(self.told) in MARKS:
                rows.append(self.row())
        return rows

    def evaluated(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
        return [Evaluation(one, self.evaluator.evaluate(one)) for one in candidates]

    def row(self) -> Row:
        front = self.problem.front(self.told)
        denoised = None
        if self.controller.screening is not None:
            corrected = rescored(self.told, list(self.controller.screening.denoised(self.told)))
            denoised = self.true(self.problem.front(corrected))
        return Row(
            self.name,
            self.seed,
            len(self.told),
            self.true(front),
            self.problem.hypervolume(front),
            denoised,
            round(self.seconds, 2),
        )

    def true(self, front: Sequence[Evaluation]) -> float:
        assert isinstance(self.evaluator, SyntheticEvaluator)
        psnr = [self.evaluator.psnr(one.candidate.genome) for one in front]
        return self.problem.hypervolume(rescored(front, psnr))


def job(task: tuple[str, int, int], landscape: Path | None = None) -> list[Row]:
    """Run the search of a controller, seed and number of evaluations, in a worker process."""
    name, seed, evaluations = task
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    return Race(name, seed, landscape).run(evaluations)


def read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()]


def summary(rows: Sequence[Row], reference: str) -> list[dict[str, object]]:
    """Return a row for each controller and mark: median and quartiles of the true hypervolume.

    With, paired by seed, wins and p of Wilcoxon's signed-rank test against the reference after as
    many evaluations, and after the most that the reference has.
    """
    true: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    for row in rows:
        true[row.controller, row.evaluations][row.seed] = row.true
    last = max((mark for name, mark in true if name == reference), default=0)
    table: list[dict[str, object]] = []
    for (name, mark), values in sorted(true.items(), key=lambda item: (item[0][1], item[0][0])):
        low, middle, high = np.percentile(list(values.values()), [25, 50, 75])
        group = [row for row in rows if (row.controller, row.evaluations) == (name, mark)]
        corrected = [row.denoised for row in group if row.denoised is not None]
        table.append(
            {
                "controller": name,
                "evaluations": mark,
                "seeds": len(values),
                "median": round(float(middle), 4),
                "quartiles": [round(float(low), 4), round(float(high), 4)],
                "median_denoised": round(float(np.median(corrected)), 4) if corrected else None,
                "seconds": round(float(np.median([row.seconds for row in group])), 1),
                "against_reference": paired(values, true[reference, mark]),
                f"against_reference_at_{last}": paired(values, true[reference, last]),
            }
        )
    return table


def paired(values: dict[int, float], others: dict[int, float]) -> dict[str, object] | None:
    seeds = sorted({*values} & {*others})
    difference = np.array([values[seed] - others[seed] for seed in seeds])
    if not difference.any():
        return None
    return {
        "seeds": len(seeds),
        "wins": int((difference > 0).sum()),
        "median_difference": round(float(np.median(difference)), 4),
        "p": float(f"{wilcoxon(difference).pvalue:.2g}"),
    }


def draw(path: Path, rows: Sequence[Row], *, real: bool) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
    run: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        run[row.controller].add(row.seed)
    seeds = max(run.values(), key=len)
    # Only controllers with all seeds, so that medians are of the same landscapes.
    rows = [row for row in rows if run[row.controller] >= seeds]
    over = f"{len(seeds)} " + (
        "seeds on a landscape of real trainings" if real else "random landscapes, noise 0.3 dB"
    )
    colors = mpl.colormaps["tab20"](range(20))
    axes.set_prop_cycle(color=[*colors[::2], *colors[1::2]])
    for name in dict.fromkeys(row.controller for row in rows):
        marks = sorted({row.evaluations for row in rows if row.controller == name})
        quartiles = np.array(
            [
                np.percentile(
                    [r.true for r in rows if (r.controller, r.evaluations) == (name, mark)],
                    [25, 50, 75],
                )
                for mark in marks
            ]
        )
        (line,) = axes.plot(marks, quartiles[:, 1], marker="o", label=name)
        axes.fill_between(
            marks, quartiles[:, 0], quartiles[:, 2], alpha=0.1, color=line.get_color()
        )
    axes.set(
        xlabel="evaluations",
        ylabel="true hypervolume",
        title=f"{over}: median and quartiles",
        xscale="log",
    )
    axes.set_xticks(MARKS, [str(mark) for mark in MARKS])
    axes.minorticks_off()
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def ask_tell_seconds(name: str, evaluations: int) -> float:
    """Return the processor time of ask and tell of 64 candidates, in seconds.

    It is the median of three generations after ``evaluations`` evaluations. These are uniform draws
    that a controller with a surrogate is told at once; others, for which that is quick, are told
    generation by generation.
    """
    race, rng = Race(name, 1), np.random.default_rng(0)
    genomes = {one.key: one for one in (SPACE.sample(rng) for _ in range(evaluations))}
    told = race.evaluated(
        [
            Candidate(one.canonical(), genome_cost(one), Origin(("sampled",)), i // POPULATION, i)
            for i, one in enumerate(genomes.values())
        ]
    )
    race.controller.admission.restore(len(told), [one.key for one in told])
    at_once = len(told) if race.controller.screening is not None else POPULATION
    for first in range(0, len(told), at_once):
        race.controller.tell(told[first : first + at_once])
    race.told, race.seconds = told, 0.0
    spent: list[float] = []
    for _ in range(3):
        before = race.seconds
        race.run(len(race.told) + POPULATION)
        spent.append(race.seconds - before)
    return round(float(np.median(spent)), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--controllers", nargs="+", default=list(COMPARED), choices=list(COMPARED))
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=2048)
    parser.add_argument(
        "--reference",
        default="nsga2",
        choices=list(COMPARED),
        help="the others are compared with it, paired by seed",
    )
    parser.add_argument("--landscape", type=Path, help="a CSV of real trainings")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("experiments/controllers"))
    parser.add_argument("--time", action="store_true", help="only time ask and tell")
    options = parser.parse_args()
    if options.time:
        times = {
            f"{name}_{count}": ask_tell_seconds(name, count)
            for name in options.controllers
            for count in (2_000, 10_000)
        }
        print(json.dumps(times))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "runs.jsonl"
    done = {(row.controller, row.seed): row.evaluations for row in read(path)}
    tasks = [
        (name, seed, options.evaluations)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for name in options.controllers
        if done.get((name, seed), 0) < options.evaluations
    ]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool, path.open("a") as file:
        for rows in pool.imap_unordered(partial(job, landscape=options.landscape), tasks):
            for row in rows:
                if row.evaluations > done.get((row.controller, row.seed), 0):
                    print(json.dumps(asdict(row)), file=file, flush=True)
    rows = read(path)
    table = summary(rows, options.reference)
    draw(options.out / "hypervolume.png", rows, real=options.landscape is not None)
    (options.out / "summary.json").write_text(json.dumps(table, indent=2) + "\n")
    for entry in table:
        print("  ".join(f"{key} {value}" for key, value in entry.items()))
    print(json.dumps(table))


if __name__ == "__main__":
    main()
