"""A synthetic landscape over the real search space, for tests and for comparing controllers.

Costs are the real ones. Quality is made up, with what makes the real one difficult: diminishing
returns of size, cells that matter by place, cells that interact, links that help up to a point, and
noise. The terms of the formula in dB, for a genome of n cells:

- *reach*: 4 (1 - exp(-d / 12)), d the number of k > 1 convolutions on the chain. Super-resolution
  needs context.
- *capacity*: 0.9 ln(1 + params / 20,000): more width and depth, with diminishing returns.
- *operators*: the mean over cells of a bonus (conv 0.3, grouped 0.15, inverted bottleneck 0,
  others 0.2), plus 0.25 for an effective residual.
- *interaction of neighbours*: 0.4 times the share of adjacent cells that differ in operator or
  kernel (paper, VI-C1: diverse cells).
- *bottlenecks*: -0.35 for each cell narrower than half of both its neighbours, unless a link jumps
  over it (interaction of cells and links).
- *links*: 0.8 (1 - ((s - 0.4) / 0.6)^2), s the share of links set: dense is not best (paper,
  VI-C2).
- *noise*: normal, with the deviation of the settings, determined by seed and genome.

Latency, where a search wants it measured, is made up, too: the prediction of the profile, times
exp(0.3 s), s the share of links set, and noise of 1%.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import numpy as np

from falsr_nas.archive.candidate import Candidate, Score
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.evaluation.evaluator import evaluation_seed
from falsr_nas.evaluation.settings import EvaluationContext, SyntheticSettings
from falsr_nas.latency.profile import LatencyProfile
from falsr_nas.space.cost import convs, genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.training.settings import TrainingSettings

BASE = 24.0
OPERATOR_BONUS = {"conv": 0.3, "groupCon": 0.15, "invertBotCon": 0.0}
OTHER_BONUS = 0.2
"""Bonus of the operators of plug-ins."""


class SyntheticEvaluator:
    """Scores candidates by the formula above, or another.

    Args:
        settings: noise and duration.
        seed: with the genome, determines the noise.
        training: the whole training, whose length counts.
        psnr: function of a genome: its PSNR in dB without noise; None for the formula.
        profile: predicts what the made-up latency is near; None for no latency.
    """

    def __init__(
        self,
        settings: SyntheticSettings,
        seed: int,
        training: TrainingSettings | None = None,
        psnr: Callable[[Genome], float] | None = None,
        profile: LatencyProfile | None = None,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.training = training or TrainingSettings()
        self.psnr = psnr or synthetic_psnr
        self.profile = profile

    @classmethod
    def of(cls, settings: SyntheticSettings, context: EvaluationContext) -> SyntheticEvaluator:
        """Make the evaluator of a search."""
        return cls(settings, context.seed, context.training, profile=context.timed)

    def prepare(self) -> None:
        """Do nothing."""

    def evaluate(self, candidate: Candidate) -> Score:
        """Return the PSNR of the landscape plus noise."""
        began = time.perf_counter()
        if self.settings.seconds:
            time.sleep(self.settings.seconds)
        seed = evaluation_seed(self.seed, candidate.key)
        rng = np.random.default_rng(seed)
        psnr = self.psnr(candidate.genome) + float(rng.normal(scale=self.settings.noise))
        latency = spread = None
        if self.profile is not None:
            links, error = share_of_links(candidate.genome), float(rng.normal(scale=0.01))
            latency = self.profile.latency(candidate.genome) * math.exp(0.3 * links + error)
            spread = 0.01 * latency
        seconds = time.perf_counter() - began
        steps = self.training.steps
        return Score(
            mse_from_psnr(psnr), psnr, seconds, steps, latency=latency, latency_spread=spread
        )


def synthetic_psnr(genome: Genome) -> float:
    """Return the PSNR in dB without noise: about 25 to 36 over the paper's space."""
    cells = genome.cells
    reach = 4 * (1 - math.exp(-depth(genome) / 12))
    capacity = 0.9 * math.log1p(genome_cost(genome).params / 20_000)
    bonuses = [OPERATOR_BONUS.get(cell.operator.kind, OTHER_BONUS) for cell in cells]
    residuals = [0.25 * cell.has_residual for cell in cells]
    operators = float(np.mean(np.add(bonuses, residuals)))
    changes = [
        (a.operator, a.kernel) != (b.operator, b.kernel) for a, b in itertools.pairwise(cells)
    ]
    variety = 0.4 * sum(changes) / max(1, len(changes))
    links = 0.8 * (1 - ((share_of_links(genome) - 0.4) / 0.6) ** 2)
    return BASE + reach + capacity + operators + variety + links - 0.35 * _bottlenecks(genome)


def depth(genome: Genome) -> int:
    """Return the number of k > 1 convolutions on the chain."""
    return sum(conv.kernel > 1 and conv.groups < conv.outputs for conv in convs(genome))


def share_of_links(genome: Genome) -> float:
    """Return the share of links that are set."""
    return sum(map(len, genome.links)) / (genome.n * (genome.n + 1) / 2)


def _bottlenecks(genome: Genome) -> int:
    """Count cells narrower than half of both their neighbours that no link jumps over."""
    count = 0
    for i in range(1, genome.n):
        width, before, after = (genome.node_channels(node) for node in (i, i - 1, i + 1))
        jumped = any(
            node < i for target in range(i + 1, genome.n + 2) for node in genome.links[target - 2]
        )
        count += 2 * width < min(before, after) and not jumped
    return count
