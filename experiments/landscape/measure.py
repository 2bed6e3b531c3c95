r"""Train genomes drawn by design, for ``evaluator=landscape``; or tell the error of its model.

    python experiments/landscape/measure.py --genomes 1000 --twice 100 \
        --train T91 BSDS200 --val Kodak24
    python experiments/landscape/measure.py --error

Genomes of the paper's space are uniform over the logarithm of mult-adds, up to --most G. Several
are trained at a time. Each
training is appended to ``trainings.csv`` as soon as it ends; those that are there are not repeated,
so the command can be stopped at any time. --error prints, as one JSON object, how well the model
predicts scores of genomes that it was not fitted to, by cross-validation with ten folds.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, Origin, TrainingPlan
from falsr_nas.controller.mutation import attribute_mutation
from falsr_nas.controller.surrogate import fit
from falsr_nas.data.settings import DataSettings, FolderSettings, PhotographsSettings
from falsr_nas.evaluation.landscape import read_trainings
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.search import SearchConfig, build_executor
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.enumeration import lightest
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

COLUMNS = ("number", "seed", "genome", "psnr", "mse", "params", "mult_adds", "seconds", "failure")
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


def measure(path: Path, config: SearchConfig, numbers: range, twice: int, most: float) -> None:
    """Train and score what is not in the file yet: these genomes, then the first again."""
    known = _known(path)
    wanted = [(number, 1) for number in numbers] + [(number, 2) for number in range(twice)]
    missing = [one for one in wanted if one not in known]
    if not missing:
        return
    with build_executor(config) as executor:
        for number, seed in missing:
            genome = designed(number, most)
            plan = TrainingPlan(repeat=seed - 1)  # another repeat has another seed
            origin = Origin(("designed",))
            executor.submit(Candidate(genome, genome_cost(genome), origin, 0, number, plan))
        for _ in missing:
            _append(path, executor.collect())


def _known(path: Path) -> set[tuple[int, int]]:
    if not path.exists():
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(COLUMNS)
    with path.open(newline="") as file:
        return {(int(row["number"]), int(row["seed"])) for row in csv.DictReader(file)}


def _append(path: Path, evaluation: Evaluation) -> None:
    candidate, outcome, score = evaluation.candidate, evaluation.outcome, evaluation.score
    row = {
        "number": candidate.number,
        "seed": candidate.plan.repeat + 1,
        "genome": str(candidate.genome),
        "psnr": score.psnr if score else "",
        "mse": score.mse if score else "",
        "params": candidate.cost.params,
        "mult_adds": candidate.cost.mult_adds,
        "seconds": round(score.seconds, 2) if score else "",
        "failure": outcome.kind.value if isinstance(outcome, Failure) else "",
    }
    with path.open("a", newline="") as file:
        csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)


def error(path: Path, folds: int = 10) -> dict[str, float | int]:
    """Return the error of the model on genomes that it was not fitted to.

    ``tau`` is Kendall's, of predictions with scores; ``tau_params`` that of the parameters.
    """
    genomes, scores = read_trainings(path)
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
    parser.add_argument("--genomes", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--twice", type=int, default=100, help="genomes trained with two seeds")
    parser.add_argument("--most", type=float, default=12.0, help="most mult-adds, in G")
    parser.add_argument("--train", nargs="*", default=[], help="folders of training images")
    parser.add_argument("--val", help="folder of validation images")
    parser.add_argument("--workers", type=int, help="trainings at a time")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "trainings.csv")
    parser.add_argument("--error", action="store_true", help="only tell the error of the model")
    options = parser.parse_args()
    if options.error:
        print(json.dumps(error(options.out)))
        return
    data: DataSettings = PhotographsSettings()
    if options.train:
        data = FolderSettings(train_dirs=tuple(options.train), val_dir=options.val)
    config = SearchConfig(data=data, execution=ProcessesSettings(workers=options.workers))
    numbers = range(options.first, options.genomes)
    measure(options.out, config, numbers, options.twice, options.most)


if __name__ == "__main__":
    main()
