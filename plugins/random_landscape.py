r"""Random landscapes: ``evaluator=random_landscape``, made-up scores to compare controllers by.

    python -m falsr_nas.search plugins=[plugins/random_landscape.py] \
        evaluator=random_landscape evaluator.landscape=3

A landscape consists of tables, drawn by a seed, over a genome's cells, neighbours and links.

The PSNR in dB of a genome is the sum of

- a *trend*: diminishing returns of parameters, and of k > 1 convolutions (depth), whose strengths
  and scales are drawn;
- *ends*: an effect of the stem's width, and of the upsampler where it is not the paper's;
- *cells by place*: for each place an effect of each attribute of its cell (operator, channels,
  kernel, repeats, residual), one part of which is common to all places, and an effect of the whole
  cell;
- *neighbours*: an effect of each pair of adjacent cells, by operator and kernel, and by width;
- *links*: an effect of each link, of each link with the operator that it reads, and a share of
  links that is best.

Effects are normal and independent, and found by name, so that every search space has a landscape.
The deviations are our choice: over the paper's space, uniform draws of equal parameters differ by
0.6 dB (standard deviation), and searches find networks of 26 to 36 dB.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from falsr_nas.core.settings import at_least
from falsr_nas.evaluation.psnr_range import psnr_range
from falsr_nas.evaluation.settings import EVALUATORS, EvaluationContext, SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator, depth, share_of_links
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.encoding import attributes_of
from falsr_nas.space.genome import Genome

BASE = 27.0


class RandomLandscape:
    """The landscape of a seed.

    Args:
        seed: determines all effects, not negative.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        # Each landscape has a cache of its own.
        self._effect = lru_cache(maxsize=None)(self._draw)
        self._attributes = lru_cache(maxsize=None)(attributes_of)

    def psnr(self, genome: Genome) -> float:
        """Return the PSNR of a genome in dB, without noise; equal for genomes of one network."""
        genome = genome.canonical()
        return BASE + self._trend(genome) + self._cells(genome) + self._links(genome)

    @cached_property
    def _strengths(self) -> tuple[float, float, float, float, float]:
        rng = np.random.default_rng([self.seed, 0])
        capacity, reach, deep = rng.uniform([0.5, 1.0, 6.0], [0.9, 2.5, 16.0])
        share, peak = rng.uniform([0.1, 0.2], [0.8, 0.8])
        return float(capacity), float(reach), float(deep), float(share), float(peak)

    def _trend(self, genome: Genome) -> float:
        capacity, reach, deep, _, _ = self._strengths
        return capacity * math.log1p(genome_cost(genome).params / 20_000) + reach * (
            1 - math.exp(-depth(genome) / deep)
        )

    def _cells(self, genome: Genome) -> float:
        total = self._effect(0.1, "stem", genome.stem)
        if genome.ends.upsampler != "paper":  # effects of upsamplers are relative to the paper's
            total += self._effect(0.1, "upsampler", genome.ends.upsampler)
        for place, cell in enumerate(genome.cells):
            for name, value in self._attributes(cell):
                total += self._effect(0.05, name, value)
                total += self._effect(0.08, name, value, place)
            total += self._effect(0.06, cell.name, place)
        for place, (a, b) in enumerate(itertools.pairwise(genome.cells)):
            kinds = (a.operator.name, a.kernel, b.operator.name, b.kernel)
            total += self._effect(0.08, "kinds", *kinds)
            total += self._effect(0.05, "kinds", *kinds, place)
            total += self._effect(0.08, "widths", a.channels, b.channels, place)
        return total

    def _links(self, genome: Genome) -> float:
        *_, share, peak = self._strengths
        total = 0.0
        for target, nodes in enumerate(genome.links, start=2):
            for node in nodes:
                reads = "stem" if node == 0 else genome.cells[node - 1].operator.name
                total += self._effect(0.06, "link", node, target)
                total += self._effect(0.05, "link", node, target, reads)
        return total - share * (share_of_links(genome) - peak) ** 2

    def _draw(self, deviation: float, *name: object) -> float:
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8]))
        return float(rng.normal(scale=deviation))


@EVALUATORS.register(
    "random_landscape",
    lambda settings, context: SyntheticEvaluator(
        settings, context.seed, context.training, RandomLandscape(settings.landscape).psnr
    ),
)
@dataclass(frozen=True)
class RandomLandscapeSettings(SyntheticSettings):
    """Score each candidate by a random landscape.

    Attributes:
        landscape: its seed.
    """

    landscape: int = at_least(0, default=0)


@psnr_range.register
def _(settings: RandomLandscapeSettings, context: EvaluationContext) -> tuple[float, float]:
    """Return the range of the landscapes' PSNR over the paper's space."""
    return 26.0, 36.0
