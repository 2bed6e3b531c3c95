from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.controller.crossover import single_point
from falsr_nas.objectives.problem import Problem
from falsr_nas.report.run import Run
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace

HOSTILE = (
    "</script><script>window.hacked = 1</script>"
    "<img src=x onerror='window.hacked = 1'> & \u2028 ${title} `"
)
"""A message that the page must show as text, character by character."""


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return SearchSpace()


@pytest.fixture(scope="session")
def problem(space: SearchSpace) -> Problem:
    return Problem(space)


@pytest.fixture(scope="session")
def evaluations(space: SearchSpace) -> list[Evaluation]:
    """300 random networks whose PSNR grows with their cost, noisily; every 50th failed."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(300):
        genome = space.sample(rng)
        spent = genome_cost(genome)
        psnr = 22 + 2.5 * np.log10(spent.mult_adds / 1e9) + rng.normal(0, 0.4)
        score = Score(mse=float(255**2 / 10 ** (psnr / 10)), psnr=float(psnr), seconds=1.0)
        origin = Origin(("crossover", "random"), ("a" * 16, "b" * 16), None)
        outcome = Failure(FailureKind.DIVERGED, "the loss is nan") if number % 50 == 49 else score
        made.append(Evaluation(Candidate(genome, spent, origin, number // 64, number), outcome))
    return made


@pytest.fixture(scope="session")
def family(space: SearchSpace, problem: Problem) -> Run:
    """Return 200 networks in 5 generations; those after the first have two earlier parents.

    Some failed with a hostile message, one was retried.
    """
    rng = np.random.default_rng(3)
    made: list[Evaluation] = []
    for number in range(200):
        generation = number // 40
        genome, origin = space.sample(rng), Origin(("initial",))
        if generation:
            mother, father = (
                made[int(row)].candidate for row in rng.integers(40 * generation, size=2)
            )
            genome = single_point(mother.genome, father.genome, rng)
            operators = ("crossover", "random") if number % 3 else ("crossover",)
            if number % 3:
                genome = replace(
                    genome,
                    cells=(space.cells[int(rng.integers(len(space.cells)))], *genome.cells[1:]),
                )
            origin = Origin(operators, (mother.key, father.key), -3.5 if number % 5 == 0 else None)
        genome = genome.canonical()
        if any(genome.key == one.key for one in made):
            genome = space.sample(rng).canonical()
        spent = genome_cost(genome)
        psnr = 22 + 2.5 * np.log10(spent.mult_adds / 1e9) + 0.2 * generation + rng.normal(0, 0.4)
        outcome: Score | Failure = Score(float(255**2 / 10 ** (psnr / 10)), float(psnr), 12.3)
        earlier: tuple[Failure, ...] = ()
        if number % 25 == 24:
            outcome = Failure(
                FailureKind.BUG, HOSTILE, f"Traceback (most recent call last):\n{HOSTILE}"
            )
        elif number == 7:
            earlier = (Failure(FailureKind.WORKER_DIED, "killed by signal 9", place="worker 2"),)
        made.append(
            Evaluation(Candidate(genome, spent, origin, generation, number), outcome, earlier)
        )
    return Run(
        f"family {HOSTILE}",
        made,
        problem,
        {"seed": 1, "constraints.max_mult_adds": None, "note": HOSTILE},
    )
