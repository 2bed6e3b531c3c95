"""Compare the ranking of candidates trained in bfloat16 with that of candidates trained in float32.

    python benchmarks/precision.py [--candidates 24] [--steps 500] [--batch 4] [--patch 16]

Fixed random genomes are trained and scored as in a search with ``training=short``: in float32, in
bfloat16, and again in float32 with another seed, because that difference is the noise of the score
itself. Each of the two is compared with the first by Kendall's tau and by the differences in PSNR.
On a GPU, convolutions in float32 use TF32. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

from candidates import checked, fixed_genomes, numbered
from falsr_nas.archive.candidate import Candidate
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.evaluation.incomplete_training import IncompleteTraining
from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
from falsr_nas.training.settings import StepPrecision, TrainingSettings

KINDS = {
    "fp32": (StepPrecision.fp32, 1),
    "bf16": (StepPrecision.bf16, 1),
    "fp32, seed 2": (StepPrecision.fp32, 2),
}
"""Precision and seed of each series of trainings; the first is the reference."""


def train_all(
    candidates: list[Candidate], training: TrainingSettings, seed: int
) -> tuple[list[float], float]:
    """Return the PSNR of each candidate in dB, NaN where it diverged, and the seconds of all."""
    context = EvaluationContext(training, PhotographsSettings(), seed)
    evaluator = IncompleteTraining(IncompleteTrainingSettings(threads=None), context)
    evaluator.prepare()
    began = time.perf_counter()
    scores = [checked(attempt(evaluator, candidate)).score for candidate in candidates]
    psnr = [float("nan") if score is None else score.psnr for score in scores]
    return psnr, time.perf_counter() - began


def compare(reference: list[float], psnr: list[float]) -> dict[str, float]:
    """Return Kendall's tau of two series, and their mean and largest difference in dB."""
    a, b = np.array(reference), np.array(psnr)
    both = ~np.isnan(a) & ~np.isnan(b)
    difference = np.abs(a - b)[both]
    return {
        "compared": int(both.sum()),
        "tau": float(kendalltau(a[both], b[both]).statistic),
        "mean_difference_db": float(difference.mean()),
        "largest_difference_db": float(difference.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=16)
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    candidates = numbered(fixed_genomes(options.candidates))
    training = TrainingSettings(
        epochs=max(1, options.steps // 50),
        steps_per_epoch=min(50, options.steps),
        batch_size=options.batch,
        patch_size=options.patch,
    )
    psnr: dict[str, list[float]] = {}
    result: dict[str, Any] = {"steps": training.steps, "seconds": {}, "with_fp32": {}}
    for name, (precision, seed) in KINDS.items():
        psnr[name], seconds = train_all(candidates, replace(training, precision=precision), seed)
        result["seconds"][name] = seconds
        print(f"{name}: {len(candidates)} candidates in {seconds:.0f} s", flush=True)
    table = Table("", "Kendall's tau", "mean difference, dB", "largest", title="with fp32")
    for name in list(KINDS)[1:]:
        row = result["with_fp32"][name] = compare(psnr["fp32"], psnr[name])
        table.add_row(
            name,
            f"{row['tau']:.2f}",
            f"{row['mean_difference_db']:.3f}",
            f"{row['largest_difference_db']:.3f}",
        )
    Console(width=120).print(table)
    gaps = np.diff(np.sort(psnr["fp32"]))  # NaN sorts last
    result["median_gap_of_neighbours_db"] = float(np.nanmedian(gaps))
    result["psnr"] = {
        candidate.key: dict(zip(KINDS, row, strict=True))
        for candidate, row in zip(candidates, zip(*psnr.values(), strict=True), strict=True)
    }
    print(json.dumps(result | {"torch": torch.__version__}))


if __name__ == "__main__":
    main()
