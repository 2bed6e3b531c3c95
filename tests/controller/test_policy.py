import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin
from falsr_nas.controller.policy import Policy, reinforce_loss, returns
from falsr_nas.controller.reinforcement import ReinforcedMutation
from falsr_nas.controller.settings import PolicySettings
from falsr_nas.core.errors import UserError
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace

PAPER = SearchSpace()
SMALL = SearchSpace(
    n=3,
    operators=("conv", "groupConG2"),
    channels=(8, 16),
    kernels=(1, 3),
    residuals=(True,),
    repeats=(2,),
    stems=(8,),
)


class Told:
    """Rewards genomes by a given function."""

    def __init__(self, rule: Callable[[Genome], float]) -> None:
        self.rule = rule

    def __call__(self, evaluations: Sequence[Evaluation]) -> np.ndarray:
        return np.array([self.rule(evaluation.candidate.genome) for evaluation in evaluations])

    def restore(self, told: Sequence[Evaluation]) -> None: ...


def mutation(
    space: SearchSpace = SMALL, rule: Callable[[Genome], float] = lambda genome: 0.0, **settings
) -> ReinforcedMutation:
    return ReinforcedMutation(
        PolicySettings(**settings), Told(rule), space, np.random.default_rng(0)
    )


def candidate(genome: Genome, number: int = 0) -> Candidate:
    return Candidate(genome, genome_cost(genome), Origin(("policy",)), 0, number)


def teach(
    learner: ReinforcedMutation, parent: Genome, rng: np.random.Generator, count: int
) -> list[Genome]:
    """Draw genomes, reward them and learn from them, one by one."""
    genomes = []
    for _ in range(count):
        genome = learner.mutate(parent, rng).genome
        learner.taken([candidate(genome)])
        learner.learn(
            [Evaluation(candidate(genome), Failure(FailureKind.BUG, "the rule rewards all"))]
        )
        genomes.append(genome)
    return genomes


def linear_policy() -> Policy:
    """A policy of two cells with three choices; its links depend on the last bias alone."""
    policy = Policy(PolicySettings(embedding=2, hidden=4), 2, 3, 3, np.random.default_rng(1))
    with torch.no_grad():
        policy.cell_logits.copy_(torch.tensor([[0.0, math.log(2), math.log(3)], [0.0, 0.0, 0.0]]))
        policy.biases[-1].copy_(torch.tensor([0.0, math.log(3), -math.log(4)]))
    return policy


def test_the_policy_starts_uniform() -> None:
    policy = Policy(PolicySettings(), 7, 160, 28, np.random.default_rng(0))
    cells = torch.randint(160, (5, 7), generator=torch.Generator().manual_seed(0))
    of_cells, of_links = policy.log_probs(cells, torch.ones(5, 28))
    assert torch.allclose(of_cells, torch.full((5, 7), -math.log(160)))
    assert torch.equal(of_links, torch.full((5, 28), -math.log(2)))
    assert float(policy.entropy(cells).detach()) == pytest.approx(
        (7 * math.log(160) + 28 * math.log(2)) / 35
    )


def test_making_a_policy_does_not_use_the_global_generator() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    mutation()
    assert torch.equal(torch.get_rng_state(), before)


def test_gradient_of_equation_6_against_closed_form() -> None:
    """The gradient of log p is one-hot minus p for cells and c - O for links (logits).

    Eq. 6 multiplies both by the returns and negates them.
    """
    policy = linear_policy()
    p_cells = torch.tensor([[1 / 6, 2 / 6, 3 / 6], [1 / 3, 1 / 3, 1 / 3]])
    outputs = torch.tensor([1 / 2, 3 / 4, 1 / 5])
    cells, links = torch.tensor([[2, 0], [1, 1]]), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    reward = torch.tensor([2.0, -0.5])
    loss = reinforce_loss(policy, cells, links, drawn=torch.ones(2, 5), advantage=reward)
    loss.backward()
    one_hot = torch.nn.functional.one_hot(cells, 3).float()
    expected_cells = -((one_hot - p_cells) * reward[:, None, None]).mean(0)
    expected_links = -((links - outputs) * reward[:, None]).mean(0)
    assert torch.allclose(policy.cell_logits.grad, expected_cells, atol=1e-6)
    assert torch.allclose(policy.biases[-1].grad, expected_links, atol=1e-6)
    log_p = [
        math.log(3 / 6 * 1 / 3) + math.log(1 / 2 * 1 / 4 * 1 / 5),
        math.log(2 / 6 * 1 / 3) + math.log(1 / 2 * 1 / 4 * 1 / 5),
    ]
    assert float(loss.detach()) == pytest.approx(-(2.0 * log_p[0] - 0.5 * log_p[1]) / 2, rel=1e-6)


def test_gradient_of_equation_6_against_finite_differences() -> None:
    policy = Policy(
        PolicySettings(embedding=3, hidden=5), 2, 4, 3, np.random.default_rng(2)
    ).double()
    with torch.no_grad():
        policy.weights[-1].copy_(torch.linspace(-1, 1, 15).view(3, 5))
    cells, links = torch.tensor([[3, 1]]), torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)

    def loss() -> torch.Tensor:
        one = torch.ones(1, dtype=torch.float64)
        return reinforce_loss(
            policy, cells, links, drawn=torch.ones(1, 5), advantage=1.7 * one, gamma=0.8
        )

    loss().backward()
    for parameter in policy.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(len(flat)):
            old = float(flat[i])
            flat[i] = old + 1e-6
            up = float(loss().detach())
            flat[i] = old - 1e-6
            down = float(loss().detach())
            flat[i] = old
            assert float(gradient[i]) == pytest.approx((up - down) / 2e-6, abs=1e-6)


def test_returns_of_a_reward_at_the_end() -> None:
    assert returns(torch.tensor([2.0, -1.0]), 3, 1.0).tolist() == [[2, 2, 2], [-1, -1, -1]]
    assert returns(torch.tensor([2.0]), 3, 0.5).tolist() == [[0.5, 1.0, 2.0]]


def test_kept_genes_have_no_gradient() -> None:
    policy = linear_policy()
    drawn = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0]])
    reinforce_loss(
        policy, torch.tensor([[2, 0]]), torch.ones(1, 3), drawn=drawn, advantage=torch.ones(1)
    ).backward()
    assert policy.cell_logits.grad[0].abs().min() > 0
    assert policy.cell_logits.grad[1].abs().max() == 0
    assert policy.biases[-1].grad[1] != 0
    assert policy.biases[-1].grad[[0, 2]].abs().max() == 0


def test_genes_of_the_parent_are_kept_with_the_set_probabilities() -> None:
    rng = np.random.default_rng(4)
    learner = mutation(PAPER, keep_cells=0.7, keep_links=0.8)
    parent = PAPER.sample(rng).canonical()
    mutants = [learner.mutate(parent, rng).genome for _ in range(2000)]
    kept = np.mean(
        [[a == b for a, b in zip(m.canonical().cells, parent.cells, strict=True)] for m in mutants]
    )
    same = np.mean([np.array(PAPER.encode(m)[1]) == PAPER.encode(parent)[1] for m in mutants])
    # A drawn cell is the old one in 1 of 160 cases, a drawn link in 1 of 2.
    assert abs(kept - (1 - 0.3 * 159 / 160)) < 0.01
    assert abs(same - (0.8 + 0.2 / 2)) < 0.005
    one = mutation(PAPER, keep_cells=1.0, keep_links=1.0)  # one gene is always drawn
    for mutant in (one.mutate(parent, rng).genome.canonical() for _ in range(50)):
        changed = [
            a != b
            for a, b in zip(
                (*mutant.cells, *PAPER.encode(mutant)[1]),
                (*parent.cells, *PAPER.encode(parent)[1]),
                strict=True,
            )
        ]
        assert sum(changed) <= 1
    whole = mutation(PAPER, keep_cells=0.0, keep_links=0.0)
    resampled = [whole.mutate(parent, rng).genome for _ in range(500)]
    assert (
        np.mean(
            [
                a == b
                for m in resampled
                for a, b in zip(m.canonical().cells, parent.cells, strict=True)
            ]
        )
        < 0.02
    )


def test_draws_follow_the_probabilities_and_report_them() -> None:
    rng = np.random.default_rng(5)
    learner = mutation(keep_cells=0.0, keep_links=0.0)
    with torch.no_grad():
        learner.policy.cell_logits.copy_(torch.from_numpy(rng.normal(size=(3, 8))))
        learner.policy.biases[-1].copy_(torch.from_numpy(rng.normal(size=6)))
    p_cells = learner.policy.cell_logits.detach().softmax(1).numpy()
    p_links = learner.policy.biases[-1].detach().sigmoid().numpy()
    mutants = [learner.mutate(SMALL.sample(rng), rng) for _ in range(4000)]
    cells = np.array(
        [[SMALL.distinct_cells.index(cell) for cell in m.genome.canonical().cells] for m in mutants]
    )
    links = np.array([SMALL.encode(m.genome)[1] for m in mutants])
    for place in range(3):
        expected = 4000 * p_cells[place]
        counts = np.bincount(cells[:, place], minlength=8)
        assert ((counts - expected) ** 2 / expected).sum() < 7 + 4 * math.sqrt(14)
    assert np.abs(links.mean(0) - p_links).max() < 0.03
    for m, c, bits in list(zip(mutants, cells, links, strict=True))[:50]:
        chances = [p_cells[i, x] for i, x in enumerate(c)] + [
            p if bit else 1 - p for p, bit in zip(p_links, bits, strict=True)
        ]
        assert m.log_prob == pytest.approx(np.log(chances).sum(), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bandit_is_learnt_to_95_percent_of_the_best_reward(seed: int) -> None:
    """One of eight cells is right in the second and third place.

    All links must be set or unset depending on the first cell, which only the layers can learn.
    """
    want = SMALL.distinct_cells[5]

    def rule(genome: Genome) -> float:
        cells = [cell == want for cell in genome.cells[1:]]
        dense = genome.cells[0].channels == 16
        links = [bool(bit) == dense for bit in SMALL.encode(genome)[1]]
        return float(np.mean(cells) + np.mean(links)) / 2

    rng = np.random.default_rng(seed)
    learner = mutation(rule=rule, keep_cells=0.0, keep_links=0.0, learning_rate=0.02)
    genomes = teach(learner, SMALL.sample(rng), rng, 3000)
    assert np.mean([rule(genome) for genome in genomes[:100]]) < 0.45
    assert np.mean([rule(genome) for genome in genomes[-200:]]) > 0.95


def test_the_policy_draws_and_learns_the_ends() -> None:
    space = SearchSpace(n=1, channels=(8,), stems=(8, 16), upsamplers=("paper", "subpixel"))
    want = space.ends[2]
    rng = np.random.default_rng(8)
    learner = mutation(
        space,
        rule=lambda genome: float(genome.ends == want),
        keep_cells=0.0,
        learning_rate=0.05,
    )
    first = learner.mutate(space.sample(rng), rng)
    assert first.log_prob is not None
    assert first.log_prob < 0
    genomes = teach(learner, space.sample(rng), rng, 800)
    assert np.mean([genome.ends == want for genome in genomes[-100:]]) > 0.9
    state = json.loads(json.dumps(learner.state()))
    restored = mutation(space, keep_cells=0.0)
    restored.restore(state, [])
    parent = space.sample(rng)
    seeds = (np.random.default_rng(1), np.random.default_rng(1))
    assert restored.mutate(parent, seeds[0]) == learner.mutate(parent, seeds[1])


def test_the_policy_learns_when_parents_are_kept_in_part() -> None:
    want = SMALL.distinct_cells[2]
    rng = np.random.default_rng(6)
    learner = mutation(
        rule=lambda genome: sum(cell == want for cell in genome.cells) / 3,
        keep_cells=0.6,
        keep_links=0.9,
    )
    for _ in range(1500):
        teach(learner, SMALL.sample(rng), rng, 1)
    assert (learner.policy.cell_logits.detach().argmax(1) == 2).all()


def test_equal_rewards_do_not_change_the_policy() -> None:
    learner = mutation(entropy=0.0, keep_cells=0.0)
    teach(learner, SMALL.sample(np.random.default_rng(0)), np.random.default_rng(0), 64)
    assert learner.policy.cell_logits.abs().max() == 0


def test_the_entropy_bonus_keeps_the_policy_closer_to_uniform() -> None:
    def left(entropy: float) -> float:
        rng = np.random.default_rng(7)
        learner = mutation(
            rule=lambda genome: float(genome.cells[0].channels == 16),
            keep_cells=0.0,
            keep_links=0.0,
            entropy=entropy,
        )
        teach(learner, SMALL.sample(rng), rng, 1600)
        return float(learner.policy.entropy(torch.zeros(1, 3, dtype=torch.long)).detach())

    assert left(0.0) < left(5.0) - 0.1


def test_candidates_of_other_operators_do_not_train_the_policy() -> None:
    rng = np.random.default_rng(8)
    learner = mutation(rule=lambda genome: float(genome.cells[0].channels))
    others = [candidate(SMALL.sample(rng).canonical()) for _ in range(64)]
    learner.taken(others)
    learner.learn([Evaluation(other, Failure(FailureKind.BUG, "")) for other in others])
    assert learner.policy.cell_logits.abs().max() == 0


def test_a_restored_policy_is_bit_identical() -> None:
    rng = np.random.default_rng(9)
    rule = lambda genome: float(genome.cells[0].channels)  # noqa: E731
    saved, restored = mutation(rule=rule, keep_cells=0.5), mutation(rule=rule, keep_cells=0.5)
    parent = SMALL.sample(rng)
    for count in (0, 5, 40):  # before any update, within the first batch, after some
        teach(saved, parent, rng, count)
        waiting = candidate(saved.mutate(parent, rng).genome)
        saved.taken([waiting])
        text = json.dumps(saved.state())
        restored.restore(json.loads(text), [])
        assert json.dumps(restored.state()) == text
        seed = int(rng.integers(1000))
        for learner in (saved, restored):
            learner.learn([Evaluation(waiting, Failure(FailureKind.BUG, ""))])
            teach(learner, parent, np.random.default_rng(seed), 30)
        assert json.dumps(restored.state()) == json.dumps(saved.state())
    assert saved.state()["updates"] > 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"keep_cells": 2}, "keep_cells is 2"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"entropy": -1}, "entropy is -1"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        PolicySettings(**settings)
