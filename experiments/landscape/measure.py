r"""Train genomes for ``evaluator=landscape``, or tell the error of its model.

    python experiments/landscape/measure.py train --genomes 600 --images T91 BSDS200 --val Kodak24
    python experiments/landscape/measure.py train --genomes 100 --seed 2 ...
    python experiments/landscape/measure.py add outputs/search
    python experiments/landscape/measure.py error

``train`` draws genomes of the paper's space by design, uniformly over the logarithm of mult-adds
up to --most G, and trains several at a time as a search does. ``add`` takes the trainings of a
search with the same settings. Both append to ``trainings.csv`` what is not in it, so they can be
stopped at any time. ``error`` prints, as one JSON object, how well the model predicts scores of
genomes that it was not fitted to, by cross-validation with ten folds.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from scipy.stats import kendalltau

from falsr_nas import load_plugins
from falsr_nas.archive.candidate import Candidate, Evaluation, Origin
from falsr_nas.archive.store import Store
from falsr_nas.controller.mutation import attribute_mutation
from falsr_nas.data.settings import DataSettings, FolderSettings, PhotographsSettings
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.search import SearchConfig, build_executor
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.enumeration import lightest
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.surrogate.gaussian_process import fit

(LANDSCAPE,) = load_plugins(Path(__file__).parents[2] / "plugins" / "landscape.py")
COLUMNS = ("source", "number", "seed", "genome", "psnr", "params", "mult_adds", "seconds")
SPACE = SearchSpace()
CHANGE = attribute_mutation(SPACE)
TOLERANCE = 0.05
"""Largest difference of log mult-adds from the drawn cost."""


def designed(number: int, most: float) -> Genome:
    """Return a genome whose mult-adds are drawn uniformly on a log scale, up to ``most`` G.

    A uniform draw from the space is mutated until its cost is that which was drawn: a mutant that
    is no closer is dropped.
    """
    rng = np.random.default_rng([number, 1])
    least = genome_cost(lightest(SPACE)).mult_adds
    target = rng.uniform(math.log(least) + TOLERANCE, math.log(most * 1e9))
    genome = SPACE.sample(rng)
    while (distance := _distance(genome, target)) > TOLERANCE:
        mutant = CHANGE(genome, rng).genome
        if _distance(mutant, target) < distance or rng.random() < 0.02:
            genome = mutant
    return genome.canonical()


def _distance(genome: Genome, target: float) -> float:
    return abs(math.log(genome_cost(genome).mult_adds) - target)


def measure(path: Path, config: SearchConfig, genomes: int, most: float) -> None:
    """Train and score the designed genomes that are not in the file yet, with the search's seed."""
    known = _known(path)
    missing = [i for i in range(genomes) if ("design", config.seed, i) not in known]
    if not missing:
        return
    waiting = (_candidate(number, most) for number in missing)
    with build_executor(config) as executor:
        for candidate in islice(waiting, 2 * executor.capacity):
            executor.submit(candidate)
        for _ in missing:
            _append(path, "design", config.seed, [executor.collect()])
            for candidate in islice(waiting, 1):
                executor.submit(candidate)


def _candidate(number: int, most: float) -> Candidate:
    genome = designed(number, most)
    return Candidate(genome, genome_cost(genome), Origin(("designed",)), 0, number)


def add(path: Path, run_dir: Path) -> None:
    """Append the trainings of a search that are not in the file yet."""
    known, seed = _known(path), int(OmegaConf.load(run_dir / "config.yaml").seed)
    with Store(run_dir / "search.db") as store:
        trained = [
            one
            for one in store.evaluations()
            if ("search", seed, one.candidate.number) not in known
        ]
    _append(path, "search", seed, trained)


def _known(path: Path) -> set[tuple[str, int, int]]:
    if not path.exists():
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(COLUMNS)
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        return {(row["source"], int(row["seed"]), int(row["number"])) for row in rows}


def _append(path: Path, source: str, seed: int, evaluations: Sequence[Evaluation]) -> None:
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        for evaluation in evaluations:
            candidate, score = evaluation.candidate, evaluation.score
            if score is None:  # a landscape has scores only
                continue
            row = {
                "source": source,
                "number": candidate.number,
                "seed": seed,
                "genome": str(candidate.genome),
                "psnr": round(score.psnr, 4),
                "params": candidate.cost.params,
                "mult_adds": candidate.cost.mult_adds,
                "seconds": round(score.seconds, 2),
            }
            writer.writerow(row)


def error(path: Path, folds: int = 10) -> dict[str, float | int]:
    """Return the error of the model on genomes that it was not fitted to.

    ``tau`` is Kendall's, of predictions with scores; ``tau_params`` that of the parameters.
    """
    genomes, scores = LANDSCAPE.module.read_trainings(path)
    costs, psnr = [genome_cost(one) for one in genomes], np.array(scores)
    keys = sorted({one.key for one in genomes})
    fold = {key: i % folds for i, key in enumerate(keys)}  # a genome's trainings stay together
    group = np.array([fold[one.key] for one in genomes])
    predicted = np.zeros(len(psnr))
    for i in range(folds):
        inside, outside = np.flatnonzero(group != i), np.flatnonzero(group == i)
        model = fit([genomes[j] for j in inside], [costs[j] for j in inside], psnr[inside])
        predicted[outside], _ = model.predict(
            [genomes[j] for j in outside], [costs[j] for j in outside]
        )
    return {
        "trainings": len(psnr),
        "rmse": round(float(np.sqrt(((predicted - psnr) ** 2).mean())), 4),
        "deviation": round(float(psnr.std()), 4),
        "noise": round(fit(genomes, costs, psnr).noise, 4),
        "tau": round(float(kendalltau(predicted, psnr).statistic), 3),
        "tau_params": round(float(kendalltau([one.params for one in costs], psnr).statistic), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "trainings.csv")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("--genomes", type=int, default=600)
    train.add_argument("--seed", type=int, default=1)
    train.add_argument("--most", type=float, default=12.0, help="most mult-adds, in G")
    train.add_argument("--images", nargs="*", default=[], help="folders of training images")
    train.add_argument("--val", help="folder of validation images")
    train.add_argument("--workers", type=int, help="trainings at a time")
    commands.add_parser("add").add_argument("run_dirs", type=Path, nargs="+")
    commands.add_parser("error")
    options = parser.parse_args()
    if options.command == "error":
        print(json.dumps(error(options.out)))
        return
    if options.command == "add":
        for run_dir in options.run_dirs:
            add(options.out, run_dir)
        return
    data: DataSettings = PhotographsSettings()
    if options.images:
        data = FolderSettings(train_dirs=tuple(options.images), val_dir=options.val)
    execution = ProcessesSettings(workers=options.workers)
    config = SearchConfig(data=data, execution=execution, seed=options.seed)
    measure(options.out, config, options.genomes, options.most)


if __name__ == "__main__":
    main()
