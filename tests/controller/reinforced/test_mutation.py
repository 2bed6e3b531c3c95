"""The training of the conditional policy: by imagined children, by real scores, and by refusals."""

import json

import numpy as np
import pytest
import torch

from falsr_nas.archive.candidate import (
    Candidate,
    Evaluation,
    Failure,
    FailureKind,
    Origin,
)
from falsr_nas.controller.individual import Individual, select
from falsr_nas.controller.reinforced.controller import Reinforced
from falsr_nas.controller.reinforced.mutation import (
    MEMORY,
    REFUSED,
    ConditionalMutation,
    EqualCost,
)
from falsr_nas.controller.reinforced.policy import ChildSampler
from falsr_nas.controller.settings import ConditionalPolicySettings, ReinforcedSettings
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.surrogate.gaussian_process import Surrogate, Variances, fit
from plugin_modules import random_landscape

SPACE = SearchSpace()
EVALUATOR = random_landscape(3, noise=0.2, seed=1)


def candidate(genome: Genome, number: int, log_prob: float | None = None) -> Candidate:
    origin = Origin(("policy",), log_prob=log_prob)
    return Candidate(genome.canonical(), genome_cost(genome), origin, 0, number)


def evaluations(count: int) -> list[Evaluation]:
    rng = np.random.default_rng(0)
    made = [candidate(SPACE.sample(rng), i) for i in range(count)]
    return [Evaluation(one, EVALUATOR.evaluate(one)) for one in made]


TOLD = evaluations(150)
NO_LIMITS = Constraints()
POPULATION = select([Individual(one, Problem(SPACE)) for one in TOLD], 32)


def surrogate() -> Surrogate:
    return fit(
        [one.candidate.genome for one in TOLD],
        [one.candidate.cost for one in TOLD],
        [one.score.psnr for one in TOLD],
        Variances(),
    )


def mutation(
    constraints: Constraints = NO_LIMITS, told: int = 150, **settings
) -> ConditionalMutation:
    """A mutation that knows the population; ``told`` evaluations are known networks."""
    made = ConditionalMutation(
        ConditionalPolicySettings(**{"imagined": 0} | settings),
        Problem(SPACE, constraints=constraints),
        16,
        np.random.default_rng(0),
    )
    made.learn(TOLD[:told], POPULATION, surrogate(), np.random.default_rng(1))
    return made


def mean_gain(made: ConditionalMutation) -> float:
    """Return what the surrogate expects of children of the population."""
    rng = np.random.default_rng(7)
    parents = [POPULATION[i].genome for i in rng.integers(32, size=1000)]
    context = made._context(parents)
    children, _ = ChildSampler(made.policy).sample(context, rng)
    return float(made.imagined_gains(context, children).mean())


def test_imagined_training_raises_the_gain_that_the_surrogate_predicts() -> None:
    before, after = mean_gain(mutation()), mean_gain(mutation(imagined=8192))
    assert before < 0.1
    assert after > before + 0.3


def test_networks_that_are_known_copies_or_too_expensive_are_refused() -> None:
    genomes = [one.candidate.genome for one in TOLD]
    for made, refused in (
        (mutation(told=150), lambda i: True),
        (mutation(told=20), lambda i: i < 20),
        (
            mutation(Constraints(max_mult_adds=40), told=1),
            lambda i: i < 1 or TOLD[i].candidate.cost.mult_adds > 40e9,
        ),
        (
            mutation(Constraints(max_params=300, min_mult_adds=20), told=1),
            lambda i: (
                i < 1
                or TOLD[i].candidate.cost.params > 300e3
                or TOLD[i].candidate.cost.mult_adds < 20e9
            ),
        ),
    ):
        children = made.encoding.encode(genomes)
        parents = made._context([*genomes[1:], genomes[0]])
        gains = made.imagined_gains(parents, children)
        assert (gains == REFUSED).tolist() == [refused(i) for i in range(150)]
    made = mutation(told=1)
    copies = made._context(genomes)
    assert (made.imagined_gains(copies, copies.parents) == REFUSED).all()


def test_a_gain_is_the_difference_to_the_parent_at_equal_cost() -> None:
    made = mutation(told=0)
    genomes = [one.genome for one in POPULATION]
    context = made._context(genomes)
    swapped = made._context(genomes[::-1])
    there, back = (
        made.imagined_gains(a, b.parents) for a, b in ((context, swapped), (swapped, context))
    )
    assert there == pytest.approx(-back, abs=1e-9)
    assert np.abs(there).max() > 0.5


def test_quality_at_equal_cost_does_not_depend_on_costs() -> None:
    rng = np.random.default_rng(2)
    logs = rng.uniform(-1, 1, size=(400, 2))
    better = rng.normal(scale=0.3, size=400)
    psnr = 30 + 2 * logs[:, 0] - logs[:, 1] ** 2 + better
    quality = EqualCost(logs, psnr).quality(logs, psnr)
    assert np.corrcoef(quality, better)[0, 1] > 0.98
    assert quality.std() == pytest.approx(1, abs=0.01)
    same = EqualCost(np.zeros((5, 2)), np.full(5, 30.0)).quality(np.zeros((1, 2)), np.array([30.0]))
    assert same == pytest.approx([0], abs=1e-6)


def test_real_scores_of_its_own_draws_teach_and_those_of_other_operators_do_not() -> None:
    rng = np.random.default_rng(3)
    for own in (True, False):
        made = mutation(batch_size=8)
        before = made.policy.bias.detach().clone()
        parents = [POPULATION[i].genome for i in range(8)]
        children = [made.mutate(one, rng).genome if own else SPACE.sample(rng) for one in parents]
        asked = [candidate(one, 200 + i) for i, one in enumerate(children)]
        made.asked(asked, lambda genome: False)
        told = [Evaluation(one, EVALUATOR.evaluate(one)) for one in asked]
        made.learn(told, POPULATION, surrogate(), rng)
        assert bool((made.policy.bias != before).any()) == own
        assert len(made._lessons) == 8 * own


def test_failures_and_refused_draws_are_lessons_of_the_lowest_gain() -> None:
    made, rng = mutation(batch_size=100), np.random.default_rng(4)
    parent = POPULATION[0].genome
    children = {one.key: one for one in (made.mutate(parent, rng).genome for _ in range(40))}
    first = candidate(next(one for one in children.values() if one != parent), 200)
    made.asked([first], lambda genome: genome.key != first.key)
    assert len(made._lessons) == 1  # as many refused ones as candidates
    made.learn([Evaluation(first, Failure(FailureKind.DIVERGED, ""))], POPULATION, surrogate(), rng)
    refused, failed = made._lessons
    assert refused.psnr is None
    assert failed.child.key == first.key
    assert failed.psnr is None
    context = made._context([parent])
    costs = made.encoding.costs(context.parents)
    assert made._gains(context, costs, np.array([np.nan])).tolist() == [REFUSED]


def test_draws_that_were_only_not_picked_teach_nothing() -> None:
    made, rng = mutation(), np.random.default_rng(5)
    made.mutate(POPULATION[0].genome, rng)
    made.asked([], lambda genome: False)
    assert not made._lessons
    assert not made._pending


def controller(seed: int = 1) -> Reinforced:
    settings = ReinforcedSettings(
        population_size=16,
        screening=4,
        policy=ConditionalPolicySettings(imagined=512, batch_size=4),
    )
    problem = Problem(SPACE, constraints=Constraints(max_mult_adds=80))
    return Reinforced(settings, problem, np.random.default_rng(seed))


def test_the_state_does_not_grow_with_the_search_and_its_operator_is_recorded() -> None:
    search, sizes, operators = controller(), [], set()
    for _ in range(14):
        asked = search.ask(16)
        operators |= {name for one in asked for name in one.origin.operators}
        for one in asked:
            by_policy = one.origin.operators[-1] == "policy"
            assert (one.origin.log_prob is not None) == by_policy
        search.tell([Evaluation(one, EVALUATOR.evaluate(one)) for one in asked])
        sizes.append(len(json.dumps(search.state()["policy"])))
        assert len(search.reinforced._lessons) <= MEMORY
    assert "policy" in operators
    assert search.mutations.success["policy"] != 0.5
    assert sizes[-1] < 1.1 * sizes[9]


def test_a_restored_policy_draws_as_the_saved_one() -> None:
    search, told = controller(), []
    for _ in range(5):
        told += [Evaluation(one, EVALUATOR.evaluate(one)) for one in search.ask(16)]
        search.tell(told[-16:])
    restored = controller(seed=5)
    restored.restore(json.loads(json.dumps(search.state())), told)
    parent = POPULATION[0].genome
    drawn = [one.reinforced.mutate(parent, np.random.default_rng(3)) for one in (search, restored)]
    assert drawn[0] == drawn[1]


def test_making_a_policy_does_not_use_the_global_generator() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    mutation()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hidden": 0}, "hidden is 0"),
        ({"imagined": -1}, "imagined is -1"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"max_weight": 0}, "max_weight is 0"),
        ({"divergence": -1}, "divergence is -1"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        ConditionalPolicySettings(**settings)
