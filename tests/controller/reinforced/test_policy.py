"""The conditional policy by enumeration of a small space, and on a bandit."""

import numpy as np
import pytest
import torch
from torch import Tensor

from falsr_nas.controller.reinforced.mutation import policy_loss
from falsr_nas.controller.reinforced.policy import ChildSampler, ConditionalPolicy, Context
from falsr_nas.controller.settings import ConditionalPolicySettings
from falsr_nas.space.encoding import ATTRIBUTES, Encoding, Networks
from falsr_nas.space.enumeration import affordable_genomes
from falsr_nas.space.search_space import SearchSpace

SMALL = SearchSpace(
    n=1,
    operators=("conv", "groupConG2"),
    channels=(8,),
    kernels=(1, 3),
    repeats=(1, 2),
    stems=(8, 16),
    upsamplers=("subpixel",),
)
ENCODING = Encoding(SMALL)
ALL = ENCODING.encode(list(affordable_genomes(SMALL, None)))
COUNT = len(ALL)
FREE = 1e9
"""A bound that no importance weight reaches."""


def policy(random: float, encoding: Encoding = ENCODING, hidden: int = 6) -> ConditionalPolicy:
    """A policy whose weights are moved at random."""
    made = ConditionalPolicy(
        ConditionalPolicySettings(hidden=hidden), encoding, np.random.default_rng(0)
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for one in made.parameters():
            one.add_(random * torch.randn(one.shape, generator=generator))
        made.value.zero_()
    return made


def context(parent: int, count: int = COUNT) -> Context:
    numbers = np.random.default_rng(parent).normal(size=4)
    return Context(ALL[np.full(count, parent)], np.tile(numbers, (count, 1)))


def probabilities(made: ConditionalPolicy, parent: int) -> Tensor:
    return made(context(parent), ALL).log_prob.exp()


def test_all_networks_of_the_space_are_children_and_their_probabilities_add_up() -> None:
    assert COUNT == SMALL.distinct_size == 48
    for parent in range(0, COUNT, 5):
        chances = probabilities(policy(0.7), parent)
        assert chances.sum().item() == pytest.approx(1, abs=1e-5)
        assert chances.min() > 0


def test_children_are_drawn_with_the_probabilities_that_are_stored() -> None:
    made, rng, draws = policy(0.7), np.random.default_rng(2), 12_000
    children, log_prob = ChildSampler(made).sample(context(7, draws), rng)
    assert log_prob == pytest.approx(
        made(context(7, draws), children).log_prob.detach().numpy(), abs=1e-5
    )
    rows = {row: i for i, row in enumerate(ALL.rows())}
    counts = np.bincount([rows[row] for row in children.rows()], minlength=COUNT)
    expected = draws * probabilities(made, 7).detach().numpy()
    often = expected > 5
    assert ((counts - expected) ** 2 / expected)[often].sum() < often.sum() + 4 * np.sqrt(
        2 * often.sum()
    )


def test_at_the_start_about_one_attribute_and_one_link_change() -> None:
    encoding = Encoding(SearchSpace())
    rng = np.random.default_rng(3)
    parents = encoding.encode([encoding.space.sample(rng) for _ in range(2000)])
    children, _ = ChildSampler(policy(0, encoding)).sample(
        Context(parents, np.zeros((2000, 4))), rng
    )
    changed = encoding.attributes[children.cells] != encoding.attributes[parents.cells]
    # Where repeats change to or from 1, the residual appears or disappears.
    assert changed[..., :-1].sum((1, 2)).mean() == pytest.approx(0.8, abs=0.1)
    assert (children.links != parents.links).sum(1).mean() == pytest.approx(1, abs=0.1)


def test_the_divergence_is_that_from_the_start() -> None:
    made, start = policy(0.7), policy(0)
    for parent in (0, 11, 30):
        likelihood = made(context(parent), ALL)
        chances = likelihood.log_prob.exp()
        before = start(context(parent), ALL).log_prob
        expected = (chances * (likelihood.log_prob - before)).sum()
        assert float((chances * likelihood.divergence).sum()) == pytest.approx(
            float(expected), abs=1e-4
        )
    assert start(context(3), ALL).divergence.abs().max() < 1e-5


def test_importance_weighted_gradients_are_those_of_the_expected_gain() -> None:
    """Draws from any other distribution, here the uniform one, give the same gradient."""
    made = policy(0.7)
    gains = torch.from_numpy(np.random.default_rng(4).normal(size=COUNT)).float()
    (probabilities(made, 9) * gains).sum().backward()
    expected = {
        name: one.grad.clone() for name, one in made.named_parameters() if one.grad is not None
    }
    made.zero_grad()
    uniform = torch.full((COUNT,), -np.log(COUNT))
    policy_loss(made(context(9), ALL), gains, uniform, FREE, 0).backward()
    assert len(expected) > 8
    for name, gradient in expected.items():
        assert torch.allclose(dict(made.named_parameters())[name].grad, -gradient, atol=1e-5), name


def test_weights_of_draws_are_clipped_and_those_of_the_policy_itself_are_one() -> None:
    made, gains = policy(0.7), torch.ones(COUNT)
    likelihood = made(context(9), ALL)
    own = policy_loss(likelihood, gains, likelihood.log_prob.detach(), FREE, 0)
    assert float(own) == pytest.approx(float(policy_loss(likelihood, gains, None, FREE, 0)))
    never = torch.full((COUNT,), -50.0)  # much less likely then than now
    clipped = policy_loss(likelihood, gains, never, 2, 0)
    assert float(clipped) == pytest.approx(2 * float(own), rel=1e-5)


def test_the_baseline_learns_the_expected_gain_of_a_parent() -> None:
    made, rng = policy(0), np.random.default_rng(5)
    optimiser = torch.optim.Adam([made.value], lr=0.05)
    for _ in range(300):
        parents = rng.integers(COUNT, size=64)
        some = Context(
            ALL[parents], np.column_stack([np.zeros((64, 2)), parents % 2, np.zeros(64)])
        )
        children, _ = ChildSampler(made).sample(some, rng)
        gains = torch.from_numpy(2.0 * (parents % 2) + rng.normal(size=64)).float()
        optimiser.zero_grad()
        policy_loss(made(some, children), gains, None, 1, 0).backward()
        optimiser.step()
    value = made(some, children).value.detach().numpy()
    assert np.abs(value - 2 * (parents % 2)).mean() < 0.3


def test_a_bandit_whose_right_attribute_depends_on_the_parents_cost_is_learnt() -> None:
    """Kernel 1 is right for children of expensive parents, kernel 3 for those of cheap ones."""
    space = SearchSpace(n=2, operators=("conv",), channels=(8, 16), repeats=(1, 2), stems=(8,))
    encoding, rng = Encoding(space), np.random.default_rng(6)
    kernel = ATTRIBUTES.index("kernel")
    made = policy(0, encoding, hidden=16)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.02)

    def draw(count: int) -> tuple[Context, Networks, np.ndarray]:
        parents = encoding.encode([space.sample(rng) for _ in range(count)])
        numbers = rng.uniform(-1, 1, size=(count, 4))
        children, _ = ChildSampler(made).sample(Context(parents, numbers), rng)
        kernels = encoding.attributes[children.cells][..., kernel]
        right = (kernels == (numbers[:, :1] < 0)).mean(axis=1)
        return Context(parents, numbers), children, right

    assert draw(500)[2].mean() == pytest.approx(0.5, abs=0.06)
    for _ in range(250):
        some, children, right = draw(64)
        optimiser.zero_grad()
        policy_loss(made(some, children), torch.from_numpy(right).float(), None, 1, 0).backward()
        optimiser.step()
    assert draw(500)[2].mean() > 0.9
