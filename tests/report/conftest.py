from __future__ import annotations

import numpy as np
import pytest

from falsr_nas.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.objectives import ObjectiveScale
from falsr_nas.space.cost import cost
from falsr_nas.space.search_space import SearchSpace


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return SearchSpace()


@pytest.fixture(scope="session")
def scale(space: SearchSpace) -> ObjectiveScale:
    return ObjectiveScale.of_space(space)


@pytest.fixture(scope="session")
def evaluations(space: SearchSpace) -> list[Evaluation]:
    """300 random networks whose PSNR grows with their cost, noisily; every 50th failed."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(300):
        genome = space.sample(rng)
        spent = cost(genome)
        psnr = 22 + 2.5 * np.log10(spent.mult_adds / 1e9) + rng.normal(0, 0.4)
        score = Score(mse=float(255**2 / 10 ** (psnr / 10)), psnr=float(psnr), seconds=1.0)
        origin = Origin(("crossover", "random"), ("a" * 16, "b" * 16), None)
        outcome = Failure(FailureKind.DIVERGED, "the loss is nan") if number % 50 == 49 else score
        made.append(Evaluation(Candidate(genome, spent, origin, number // 64, number), outcome))
    return made
