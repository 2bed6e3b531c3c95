"""Settings of the controllers.

Commands import this module to print their help, so it must not import large libraries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from falsr_nas.core.errors import UserError
from falsr_nas.core.registry import Registry
from falsr_nas.core.settings import Settings, at_least, between, positive, probability

if TYPE_CHECKING:
    from falsr_nas.controller.controller import Controller


@dataclass(frozen=True)
class InitialSettings(Settings, group="controller.initial"):
    """The initial population (paper, IV-B).

    The paper does not give the probabilities: they are our choice.

    Attributes:
        genomes: networks with which the search begins, e.g. hand-made ones; those beyond a limit of
            the search are left out. The paper has none.
        p_random: the paper's p_r, the probability of random links.
        p_dense: the paper's p_den, the probability of all links. The remaining genomes have none.
    """

    genomes: tuple[str, ...] = ()
    p_random: float = probability(default=0.5)
    p_dense: float = probability(default=0.25)

    def __post_init__(self) -> None:
        if (both := self.p_random + self.p_dense) > 1:
            raise UserError(
                f"controller.initial.p_random + p_dense is {both}: a probability is in 0..1"
            )


@dataclass(frozen=True)
class ExplorationSettings(Settings, group="controller.exploration"):
    """The exploring mutations (paper, IV-E1).

    The paper does not give the probabilities: they are our choice, and so is p_attribute.

    With probability p_attribute, the mutation changes single attributes of cells. Otherwise, with
    p ~ U(0, 1), it is random for p < p_random, roulette wheel selection by FLOPs for p < p_flops,
    and roulette wheel selection by parameters otherwise.

    Attributes:
        p_attribute: probability of the mutation of single attributes, 0 in the paper.
        p_random: the paper's p_mr.
        p_flops: the paper's p_mf, at least p_random.
        p_cell: probability that one of the first two changes a cell; None for 1/n.
        p_link: probability that they flip a link; None for 1 / (n(n+1)/2).
    """

    p_attribute: float = probability(default=0.0)
    p_random: float = probability(default=0.6)
    p_flops: float = probability(default=0.8)
    p_cell: float | None = probability(default=None, null="1/n")
    p_link: float | None = probability(default=None, null="one over the number of links")

    def __post_init__(self) -> None:
        if self.p_flops < self.p_random:
            raise UserError(
                f"controller.exploration.p_flops is {self.p_flops}: it must be at least p_random,"
                f" which is {self.p_random}"
            )


@dataclass(frozen=True)
class ControllerSettings(Settings, group="controller"):
    """Settings that every controller has.

    Attributes:
        population_size: number of candidates per generation. The paper's is 64 (VI); the default is
            our choice for a small search.
        screening: how many networks to generate per network trained; a surrogate keeps the best,
            see :mod:`falsr_nas.controller.screening`. 1 trains every network.
    """

    population_size: int = at_least(2, default=16)
    screening: int = at_least(1, unit="generated per network trained", default=1)


CONTROLLERS: Registry[ControllerSettings, Controller] = Registry("controller")
"""Options of the config group ``controller``.

Factories take settings, problem and rng."""


class Crossover(StrEnum):
    """How two parents are combined: see :mod:`falsr_nas.controller.crossover`."""

    single_point = "single_point"
    """All genes after a cut come from the second parent (our choice)."""
    paper = "paper"
    """One gene comes from the second parent: the formula of the paper (IV-D)."""


@CONTROLLERS.register("nsga2", "falsr_nas.controller.nsga2:NSGA2")
@dataclass(frozen=True)
class NSGA2Settings(ControllerSettings):
    """NSGA-II with the paper's variations (paper, IV).

    Attributes:
        initial: the initial population.
        crossover: how two parents are combined.
        p_crossover: probability that a child has two parents (our choice).
        p_mutation: probability that a child of two parents is mutated (our choice). A child of one
            parent is always mutated.
        exploration: the exploring mutations.
    """

    initial: InitialSettings = field(default_factory=InitialSettings)
    crossover: Crossover = Crossover.single_point
    p_crossover: float = probability(default=0.8)
    p_mutation: float = probability(default=0.5)
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)


@CONTROLLERS.register("screening", "falsr_nas.controller.nsga2:NSGA2")
@dataclass(frozen=True)
class ScreeningSettings(NSGA2Settings):
    """NSGA-II whose children are screened by a surrogate, with other defaults (our choices)."""

    screening: int = 20
    exploration: ExplorationSettings = field(
        default_factory=lambda: ExplorationSettings(p_attribute=0.5)
    )


@dataclass(frozen=True)
class PolicySettings(Settings, group="controller.policy"):
    """The policy of the reinforced mutation and its training (paper, IV-E2 and Fig. 2).

    The paper gives gamma = 1 and the number of layers; all else is our choice.

    Attributes:
        keep_cells: probability that a cell of the parent is kept; 0 redraws all cells.
        keep_links: probability that a link bit of the parent is kept; 0 redraws all links.
        embedding: size of the embedding of a cell.
        hidden: width of the fully connected layers.
        batch_size: number of rewarded candidates per update.
        learning_rate: learning rate of Adam.
        gamma: discount factor of the rewards.
        baseline: decay of the moving average of rewards that serves as baseline.
        entropy: weight of the entropy bonus.
        max_gradient: maximum norm of the gradient, to which it is clipped.
    """

    keep_cells: float = probability(default=0.85)
    keep_links: float = probability(default=0.95)
    embedding: int = at_least(1, default=8)
    hidden: int = at_least(1, default=32)
    batch_size: int = at_least(1, default=16)
    learning_rate: float = positive(default=0.05)
    gamma: float = between(0, 1, default=1.0)
    baseline: float = between(0, 1, default=0.9)
    entropy: float = at_least(0, default=0.01)
    max_gradient: float = positive(default=5.0)


@CONTROLLERS.register("hybrid", "falsr_nas.controller.hybrid:Hybrid")
@dataclass(frozen=True)
class HybridSettings(NSGA2Settings):
    """The paper's controller: NSGA-II with a mutation that draws from a learnt policy (paper, IV).

    Attributes:
        p_exploit: probability that a mutation is the policy's; otherwise it is an exploring one.
            The paper does not give it (IV-E): our choice.
        policy: the policy and its training by the reward of :mod:`falsr_nas.controller.reward`.
    """

    p_exploit: float = probability(default=0.5)
    policy: PolicySettings = field(default_factory=PolicySettings)


@CONTROLLERS.register("random", "falsr_nas.controller.random_search:RandomSearch")
@dataclass(frozen=True)
class RandomSettings(ControllerSettings):
    """Random search: uniform draws from the space, the baseline for all other controllers."""
