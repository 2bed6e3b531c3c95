from statistics import fmean, stdev

import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.objectives.fresh import with_fresh_scores
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome


def score(psnr: float) -> Score:
    return Score(mse_from_psnr(psnr), psnr, 2.0, 500)


def evaluation(number: int, psnr: float) -> Evaluation:
    """A network that costs more the higher its number."""
    genome = Genome.parse(f"conv_f{16 + number}_k3_b1_noskip |")
    return Evaluation(
        Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number), score(psnr)
    )


PROBLEM = Problem()
STRICT = Problem(constraints=Constraints(min_psnr=29.45))
FOUND = [evaluation(0, 28.0), evaluation(1, 29.5), evaluation(2, 29.4), evaluation(3, 30.0)]


def fresh(scores: dict[int, dict[int, Score | None]]) -> dict[str, dict[int, Score | None]]:
    """Fresh scores of networks that are given by number."""
    return {FOUND[number].key: repeats for number, repeats in scores.items()}


def psnrs(evaluations: list[Evaluation]) -> list[float]:
    return [one.score.psnr for one in evaluations if one.score]


def test_without_fresh_scores_nothing_changes_and_the_front_misses_them() -> None:
    reported, missing = with_fresh_scores(FOUND, {}, PROBLEM)
    assert reported == FOUND
    assert missing == []
    reported, missing = with_fresh_scores(FOUND, {}, PROBLEM, 2)
    assert reported == FOUND
    assert missing == PROBLEM.front(FOUND)
    assert [one.candidate.number for one in missing] == [0, 1, 3]


def test_the_mean_is_that_of_the_fresh_scores_alone() -> None:
    scores = {0: {1: score(27.0), 2: score(27.5)}}
    reported, _ = with_fresh_scores(FOUND, fresh(scores), PROBLEM)
    mean = reported[0].score
    assert mean is not None
    assert mean.psnr == fmean([27.0, 27.5])
    assert mean.mse == mse_from_psnr(mean.psnr)
    assert mean.deviation == stdev([27.0, 27.5])
    assert (mean.count, mean.steps) == (2, 500)
    assert reported[1:] == FOUND[1:]


def test_networks_that_enter_the_front_need_fresh_scores_too() -> None:
    scores = {n: {1: score(psnr)} for n, psnr in ((0, 28.1), (1, 29.0), (3, 29.9))}
    reported, missing = with_fresh_scores(FOUND, fresh(scores), PROBLEM, 1)
    assert psnrs(reported) == pytest.approx([28.1, 29.0, 29.4, 29.9])
    assert [one.candidate.number for one in missing] == [2]  # it was behind number 1 before
    scores[2] = {1: score(28.5)}
    reported, missing = with_fresh_scores(FOUND, fresh(scores), PROBLEM, 1)
    assert missing == []
    assert psnrs(reported) == pytest.approx([28.1, 29.0, 28.5, 29.9])
    assert [one.candidate.number for one in PROBLEM.front(reported)] == [0, 1, 3]


def test_fresh_scores_of_networks_that_are_not_on_the_front_are_not_used() -> None:
    """They were on the front of the same search when it was shorter."""
    scores = {n: {1: score(psnr)} for n, psnr in ((0, 28.0), (1, 29.5), (2, 40.0), (3, 30.0))}
    reported, _ = with_fresh_scores(FOUND, fresh(scores), PROBLEM, 1)
    assert psnrs(reported) == pytest.approx([28.0, 29.5, 29.4, 30.0])


def test_a_network_whose_fresh_trainings_failed_keeps_its_score() -> None:
    scores = {0: {1: None, 2: None}, 1: {1: None, 2: score(29.0)}, 3: {1: score(30), 2: score(30)}}
    reported, missing = with_fresh_scores(FOUND[:2] + FOUND[3:], fresh(scores), PROBLEM, 2)
    assert missing == []
    assert psnrs(reported) == pytest.approx([28.0, 29.0, 30.0])
    assert reported[1].score is not None
    assert reported[1].score.count == 1
    assert reported[1].score.deviation is None


def test_the_minimum_psnr_holds_for_the_means() -> None:
    scores = {3: {1: score(29.2)}}
    _, missing = with_fresh_scores(FOUND, fresh(scores), STRICT, 1)
    assert [one.candidate.number for one in missing] == [1]
    reported, _ = with_fresh_scores(FOUND, fresh(scores), STRICT)
    assert [one.candidate.number for one in STRICT.front(reported)] == [1]
