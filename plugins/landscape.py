r"""A landscape of real trainings: ``evaluator=landscape``, a surrogate fitted to scores in a file.

    python -m falsr_nas.search plugins=[plugins/landscape.py] evaluator=landscape \
        evaluator.path=experiments/landscape/trainings.csv

A search with it takes seconds and needs no images, as with NAS-Bench-301 (Zela et al., 2022). The
file is a CSV with a header and one row per training; ``experiments/landscape`` makes it. The
columns ``genome`` (as in ``pareto.csv``) and ``psnr`` (dB) are read, and ``seed`` if it is there.
Genomes that were trained with several seeds help most to estimate the noise and the offset that the
patches of a seed add to all scores, which is subtracted.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from falsr_nas.core.errors import UserError
from falsr_nas.core.settings import REQUIRED, at_least, path
from falsr_nas.evaluation.psnr_range import psnr_range
from falsr_nas.evaluation.settings import (
    EVALUATORS,
    EvaluationContext,
    EvaluatorSettings,
    SyntheticSettings,
)
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.surrogate.gaussian_process import Surrogate, fit

FEWEST = 20
"""Trainings that a landscape needs."""


class LandscapeEvaluator(SyntheticEvaluator):
    """Scores candidates by the surrogate of a file of trainings, plus noise.

    Args:
        settings: the file and the noise.
        seed: with the genome, determines the noise.

    Raises:
        UserError: the file cannot be used.
    """

    def __init__(self, settings: LandscapeSettings, seed: int) -> None:
        self.path = Path(settings.path)
        self.surrogate = fitted(self.path)
        noise = self.surrogate.noise if settings.noise is None else settings.noise
        super().__init__(SyntheticSettings(noise), seed, psnr=self._expected)

    def _expected(self, genome: Genome) -> float:
        """Return the PSNR without noise in dB.

        Raises:
            UserError: the network has another number of cells than the trainings.
        """
        if genome.n != self.surrogate.features.n:
            raise UserError(
                f"{self.path} has trainings of networks of {self.surrogate.features.n}"
                f" cells, and those of the search have {genome.n}: give another space or file"
            )
        mean, _ = self.surrogate.predict([genome], [genome_cost(genome)])
        return float(mean[0])


def fitted(path: Path) -> Surrogate:
    """Return the surrogate of a CSV of trainings; it is fitted again only if the file changed.

    Raises:
        UserError: the file cannot be used.
    """
    return _fitted_as_of(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=1)
def _fitted_as_of(path: Path, changed: int) -> Surrogate:
    genomes, psnr = read_trainings(path)
    return fit(genomes, [genome_cost(genome) for genome in genomes], psnr)


@EVALUATORS.register(
    "landscape", lambda settings, context: LandscapeEvaluator(settings, context.seed)
)
@dataclass(frozen=True)
class LandscapeSettings(EvaluatorSettings):
    """Score each candidate by a model of real trainings; see ``experiments/landscape``.

    Attributes:
        path: CSV of the trainings, with columns ``genome`` and ``psnr``.
        noise: standard deviation of the PSNR in dB; None for that of the trainings.
    """

    path: str = path(default=REQUIRED)
    noise: float | None = at_least(0, unit="dB", default=None, null="that of the trainings")


@psnr_range.register
def _(settings: LandscapeSettings, context: EvaluationContext) -> tuple[float, float]:
    """Return the PSNR in dB from the worst network of the landscape to just above the best.

    Both are scores without noise; 0.5 dB above the best is our choice.
    """
    denoised = fitted(Path(settings.path)).denoised
    return float(denoised.min()), float(denoised.max()) + 0.5


def read_trainings(path: Path) -> tuple[list[Genome], list[float]]:
    """Read genomes and PSNR in dB from a CSV of trainings; see :func:`aligned`.

    Raises:
        UserError: the file is missing, a column or a value in it is, or it has too few rows.
    """
    if not path.is_file():
        raise UserError(f"evaluator.path is {path}: give a CSV of trainings")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"evaluator.path is {path}: not a CSV of trainings that can be read ({error})"
        ) from None
    if len(rows) < FEWEST:
        raise UserError(f"{path} has {len(rows)} trainings: a landscape needs {FEWEST}")
    if missing := {"genome", "psnr"} - {*rows[0]}:
        raise UserError(f"{path} has no column {sorted(missing)[0]!r}")
    genomes = [_parsed(row["genome"] or "", line, path) for line, row in enumerate(rows, start=2)]
    if len(sizes := {genome.n for genome in genomes}) > 1:
        raise UserError(
            f"{path}: its genomes have {sorted(sizes)} cells; all must have the same number"
        )
    psnr = [_number(row["psnr"], line, path) for line, row in enumerate(rows, start=2)]
    return genomes, aligned(genomes, psnr, [row.get("seed") for row in rows])


def aligned(
    genomes: Sequence[Genome], psnr: Sequence[float], seeds: Sequence[str | None]
) -> list[float]:
    """Return the PSNR in dB without what the patches of a seed give to all networks.

    It is the mean difference, over the genomes that both have, from the seed with most trainings.
    The trainings of a seed that has no genome in common with that one are returned as they are.
    """
    scores: dict[str | None, dict[str, float]] = {}
    for genome, value, seed in zip(genomes, psnr, seeds, strict=True):
        scores.setdefault(seed, {})[genome.key] = value
    reference = max(scores.values(), key=len)
    offsets = {
        seed: float(np.mean([own[key] - reference[key] for key in shared]))
        for seed, own in scores.items()
        if (shared := own.keys() & reference.keys())
    }
    return [value - offsets.get(seed, 0.0) for value, seed in zip(psnr, seeds, strict=True)]


def _parsed(text: str, line: int, path: Path) -> Genome:
    try:
        return Genome.parse(text)
    except UserError as error:
        raise UserError(f"{path}, line {line}: {error}") from None


def _number(text: str | None, line: int, path: Path) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path}, line {line}: {text!r} is not a PSNR in dB")
    return value
