from collections.abc import Iterable

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.controller.reward import Reward, rank_and_crowding
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.cost import Cost
from falsr_nas.space.search_space import SearchSpace

SPACE = SearchSpace()
PROBLEM = Problem(SPACE)
SAMPLE = np.random.default_rng(0)
GENOMES = [SPACE.sample(SAMPLE) for _ in range(400)]


def evaluation(number: int, psnr: float, mult_adds: float, params: float) -> Evaluation:
    candidate = Candidate(
        GENOMES[number], Cost(int(params), int(mult_adds)), Origin(("initial",)), 0, number
    )
    return Evaluation(candidate, Score(255**2 / 10 ** (psnr / 10), psnr, 0.0))


def failure(number: int) -> Evaluation:
    return Evaluation(
        evaluation(number, 30, 1e9, 1e4).candidate, Failure(FailureKind.DIVERGED, "nan")
    )


def crowd(count: int, seed: int) -> list[Evaluation]:
    rng = np.random.default_rng(seed)
    return [
        evaluation(i, *row)
        for i, row in enumerate(
            zip(
                rng.normal(30, 1, count),
                *10 ** rng.uniform([[9], [4]], [[11], [6]], (2, count)),
                strict=True,
            )
        )
    ]


def reward(told: Iterable[Evaluation] = (), min_psnr: float | None = None) -> Reward:
    problem = Problem(SPACE, constraints=Constraints(min_psnr=min_psnr))
    made = Reward(problem)
    made(list(told))
    return made


def test_rank_counts_dominating_networks_then_adds_the_distance() -> None:
    front = np.array([[0.5, 0.2, 0.2], [0.3, 0.4, 0.4], [0.1, 0.8, 0.8]])
    points = np.array([[0.6, 0.9, 0.9], [0.4, 0.5, 0.5], [0.05, 0.9, 0.9], [0.2, 0.6, 0.5]])
    assert rank_and_crowding(front, points) == pytest.approx([-0.5, 0.0, 1.1, 1.2])


def test_dominating_beats_joining_beats_being_dominated() -> None:
    known = reward(crowd(50, 3))
    best = min(PROBLEM.front(crowd(50, 3)), key=lambda e: e.score.mse)
    psnr, cost = best.score.psnr, best.candidate.cost
    dominating = evaluation(51, psnr + 0.5, cost.mult_adds, cost.params)
    joining = evaluation(52, psnr + 0.05, cost.mult_adds * 1.01, cost.params * 1.01)
    dominated = evaluation(53, psnr - 3, cost.mult_adds * 2, cost.params * 2)
    rewards = known([dominating, joining, dominated, failure(54)])
    assert rewards[0] > rewards[1] > rewards[2] >= rewards[3]
    assert rewards[3] == -1


def test_a_score_below_the_minimum_psnr_counts_as_a_failure_and_never_joins_the_front() -> None:
    known = reward(crowd(20, 4), min_psnr=29)
    below, failed = known([evaluation(21, 28.9, 1e8, 1e3), failure(22)])
    assert below == failed
    assert (10 * np.log10(255**2 / known.front[:, 0]) >= 29).all()


def test_rewards_are_zero_where_the_front_is_empty() -> None:
    assert reward()(crowd(5, 5)).tolist() == [0] * 5
    assert len(reward()([])) == 0


def test_a_restored_front_gives_bit_identical_rewards() -> None:
    told, new = crowd(160, 6)[:120], crowd(160, 6)[120:]
    saved, restored = reward(), reward(crowd(30, 7))
    for i in range(0, 120, 7):
        saved(told[i : i + 7])
    restored.restore(told)
    assert restored.front.tolist() == saved.front.tolist()
    assert restored.front.tolist() == sorted(PROBLEM.matrix(PROBLEM.front(told)).tolist())
    assert restored(new).tolist() == saved(new).tolist()


def test_functions_take_empty_batches() -> None:
    front, none = np.array([[0.5, 0.5, 0.5]]), np.empty((0, 3))
    assert rank_and_crowding(front, none).shape == (0,)
