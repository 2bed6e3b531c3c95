from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from falsr_nas.archive.candidate import Evaluation, Failure
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.report.history import (
    END_TRAITS,
    MOST_PERIODS,
    TRAITS,
    achievements,
    entered_front,
    link_counts,
    periods,
    trait_counts,
)
from falsr_nas.report.run import Run
from falsr_nas.space.encoding import Networks


def later(evaluation: Evaluation, generation: int) -> Evaluation:
    return replace(evaluation, candidate=replace(evaluation.candidate, generation=generation))


@pytest.mark.parametrize("min_psnr", [None, 25.0])
def test_periods_are_what_the_whole_search_was_then(
    evaluations: list[Evaluation], problem: Problem, min_psnr: float | None
) -> None:
    problem = replace(problem, constraints=Constraints(min_psnr=min_psnr))
    found = periods(evaluations, problem)
    assert [(period.first, period.last) for period in found] == [
        (generation, generation) for generation in range(5)
    ]
    for period in found:
        so_far = [e for e in evaluations if e.candidate.generation <= period.last]
        front = problem.front(so_far)
        assert [evaluations[row] for row in period.made] == [
            e for e in evaluations if e.candidate.generation == period.last
        ]
        assert [evaluations[row] for row in period.front] == front
        assert period.evaluations == len(so_far)
        assert period.hypervolume == pytest.approx(problem.hypervolume(front))
    assert found[-1].hypervolume == max(period.hypervolume for period in found)


def test_very_many_generations_share_periods(
    evaluations: list[Evaluation], problem: Problem
) -> None:
    one_by_one = [later(evaluation, 7 * row) for row, evaluation in enumerate(evaluations)]
    found = periods(one_by_one, problem)
    assert len(found) <= MOST_PERIODS
    assert found[0].first == 0
    assert all(after.first == before.last + 1 for before, after in pairwise(found))
    assert found[-1].last == 7 * 299
    assert np.concatenate([period.made for period in found]).tolist() == list(range(300))
    assert found[-1].hypervolume == pytest.approx(problem.hypervolume(evaluations))


def test_nothing_yet_has_no_periods(problem: Problem) -> None:
    assert periods([], problem) == []
    assert Networks.of([]).cells.shape == (0, 0)


def test_counts_are_those_of_the_genomes(evaluations: list[Evaluation]) -> None:
    networks, rows = Networks.of([e.candidate.genome for e in evaluations]), np.arange(3, 250, 4)
    genomes = [evaluations[row].candidate.genome for row in rows]
    for trait, value in TRAITS.items():
        assert trait_counts(networks, trait, rows) == Counter(
            value(cell) for genome in genomes for cell in genome.cells
        )
    for trait, value in END_TRAITS.items():
        assert trait_counts(networks, trait, rows) == Counter(
            value(genome.ends) for genome in genomes
        )
    counted = dict(zip(networks.places, link_counts(networks, rows).tolist(), strict=True))
    links = Counter(
        (node, target)
        for genome in genomes
        for target, nodes in enumerate(genome.links, start=2)
        for node in nodes
    )
    assert {place: count for place, count in counted.items() if count} == links
    assert len(networks.places) == 28


def test_who_entered_the_front_was_beaten_by_none_before(
    evaluations: list[Evaluation], problem: Problem
) -> None:
    def as_good(one: Evaluation, other: Evaluation) -> bool:
        assert one.score is not None
        assert other.score is not None
        a, b = one.candidate.cost, other.candidate.cost
        return (
            one.score.mse <= other.score.mse and a.mult_adds <= b.mult_adds and a.params <= b.params
        )

    scored = [evaluation for evaluation in evaluations if evaluation.score]
    expected = {
        e.key for i, e in enumerate(scored) if not any(as_good(before, e) for before in scored[:i])
    }
    entered = entered_front(evaluations, problem)
    assert {e.key for e, enters in zip(evaluations, entered, strict=True) if enters} == expected
    strict = replace(problem, constraints=Constraints(min_psnr=26.0))
    assert not any(
        enters
        for e, enters in zip(evaluations, entered_front(evaluations, strict), strict=True)
        if not e.score or e.score.psnr < 26
    )


def test_achievements_add_up(family: Run) -> None:
    evaluations, problem = family.evaluations, family.problem
    found = achievements(evaluations, problem)
    assert {one.operators for one in found} == {
        ("initial",),
        ("crossover",),
        ("crossover", "random"),
    }
    assert sum(one.made for one in found) == len(evaluations)
    assert (
        sum(one.failed for one in found)
        == sum(isinstance(e.outcome, Failure) for e in evaluations)
        == 8
    )
    assert sum(one.entered for one in found) == sum(entered_front(evaluations, problem))
    assert sum(one.front for one in found) == len(problem.front(evaluations))
    parents = {parent for e in evaluations for parent in e.candidate.origin.parents}
    assert sum(one.parents for one in found) == len(parents)
    for one in found:
        assert one.front <= one.entered <= one.made - one.failed
    founders = next(one for one in found if one.operators == ("initial",))
    assert founders.parents == len(parents & {e.key for e in evaluations[:40]}) > 20
