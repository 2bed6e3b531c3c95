"""Settings of the controllers.

Commands import this module to print their help, so it must not import large libraries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from falsr_nas.core.errors import UserError
from falsr_nas.core.registry import Registry
from falsr_nas.core.settings import Settings

if TYPE_CHECKING:
    from falsr_nas.controller.controller import Controller


def check_probability(name: str, value: float) -> None:
    """Raise UserError unless ``value`` is in [0, 1]."""
    if not 0 <= value <= 1:
        raise UserError(f"{name} is {value}: a probability is in 0..1")


class Mode(StrEnum):
    """When evaluations are passed to the controller."""

    generational = "generational"
    """A whole generation at a time (paper, IV). The result does not depend on the number of
    workers, but workers wait for the slowest candidate of each generation."""
    steady = "steady"
    """Each evaluation as soon as it ends. No worker waits, but with several workers the next
    candidates depend on the order in which evaluations end."""


@dataclass(frozen=True)
class InitialSettings(Settings, group="controller.initial"):
    """Links of the initial population (paper, IV-B). The paper does not give the probabilities.

    Attributes:
        p_random: the paper's p_r, the probability of random links.
        p_dense: the paper's p_den, the probability of all links. The remaining genomes have none.
    """

    p_random: float = 0.5
    p_dense: float = 0.25

    def __post_init__(self) -> None:
        check_probability("controller.initial.p_random", self.p_random)
        check_probability("controller.initial.p_dense", self.p_dense)
        check_probability("controller.initial.p_random + p_dense", self.p_random + self.p_dense)


@dataclass(frozen=True)
class ExplorationSettings(Settings, group="controller.exploration"):
    """The exploring mutations (paper, IV-E1). The paper does not give the probabilities.

    With probability p_attribute, the mutation changes single attributes of cells. Otherwise, with
    p ~ U(0, 1), it is random for p < p_random, roulette wheel selection by FLOPs for p < p_flops,
    and roulette wheel selection by parameters otherwise.

    Attributes:
        p_attribute: probability of the mutation of single attributes (our choice; 0 in the paper).
        p_random: the paper's p_mr.
        p_flops: the paper's p_mf, at least p_random.
        p_cell: probability that one of the first two changes a cell; None for 1/n (our choice).
        p_link: probability that they flip a link; None for 1 / (n(n+1)/2) (our choice).
    """

    p_attribute: float = 0.0
    p_random: float = 0.6
    p_flops: float = 0.8
    p_cell: float | None = None
    p_link: float | None = None

    def __post_init__(self) -> None:
        for name in ("p_attribute", "p_random", "p_flops", "p_cell", "p_link"):
            if (value := getattr(self, name)) is not None:
                check_probability(f"controller.exploration.{name}", value)
        if self.p_flops < self.p_random:
            raise UserError(
                f"controller.exploration.p_flops is {self.p_flops}: it must be at least p_random,"
                f" which is {self.p_random}"
            )


@dataclass(frozen=True)
class ControllerSettings(Settings, group="controller"):
    """Settings that every controller has.

    Attributes:
        population_size: number of candidates per generation, >= 2. The paper's is 64 (VI).
        screening: how many networks to generate per network trained, >= 1; a surrogate keeps the
            best, see :mod:`falsr_nas.controller.screening`. 1 trains every network.
    """

    population_size: int = 16
    screening: int = 1

    def __post_init__(self) -> None:
        if self.screening < 1:
            raise UserError(
                f"controller.screening is {self.screening}: give how many networks to"
                " generate per network trained, or 1 to train every network"
            )
        if self.population_size < 2:
            raise UserError(
                f"controller.population_size is {self.population_size}: it must be at least 2"
            )


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
        initial: links of the initial population.
        crossover: how two parents are combined.
        p_crossover: probability that a child has two parents (our choice).
        p_mutation: probability that a child of two parents is mutated (our choice). A child of one
            parent is always mutated.
        exploration: the exploring mutations.
        adaptive: whether the shares of the mutations follow their success (our choice); see
            :mod:`falsr_nas.controller.operator_shares`.
    """

    initial: InitialSettings = field(default_factory=InitialSettings)
    crossover: Crossover = Crossover.single_point
    p_crossover: float = 0.8
    p_mutation: float = 0.5
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)
    adaptive: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_crossover", self.p_crossover)
        check_probability("controller.p_mutation", self.p_mutation)


@CONTROLLERS.register("screening", "falsr_nas.controller.nsga2:NSGA2")
@dataclass(frozen=True)
class ScreeningSettings(NSGA2Settings):
    """NSGA-II whose children are screened by a surrogate, with other defaults (our choices)."""

    screening: int = 20
    exploration: ExplorationSettings = field(
        default_factory=lambda: ExplorationSettings(p_attribute=0.5)
    )
    adaptive: bool = True


class RewardKind(StrEnum):
    """How candidates are rewarded (our choices): see :mod:`falsr_nas.controller.reward`."""

    hypervolume = "hypervolume"
    attainment = "attainment"
    rank = "rank"


@dataclass(frozen=True)
class RewardSettings(Settings, group="controller.reward"):
    """The reward of the policy. The paper does not define it; all of this is our choice.

    Attributes:
        kind: which reward.
        clip: largest absolute value of the ``attainment`` reward, in dB, > 0.
    """

    kind: RewardKind = RewardKind.rank
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.clip <= 0:
            raise UserError(f"controller.reward.clip is {self.clip}: it must be positive, in dB")


class LearnFrom(StrEnum):
    """Which candidates train the policy."""

    policy = "policy"
    """Candidates that the policy mutated, and of these only the genes that it drew. This is Eq. 6's
    gradient but for two things: draws that were rejected (known or too expensive) do not count, and
    the policy may have been updated between the draw and the reward."""
    all = "all"
    """Every candidate with all its genes, as if the policy had drawn them: more data, but biased
    towards what the other operators propose."""


@dataclass(frozen=True)
class PolicySettings(Settings, group="controller.policy"):
    """The policy of the reinforced mutation and its training (paper, IV-E2 and Fig. 2).

    The paper gives gamma = 1 and the number of layers; all else is our choice.

    Attributes:
        keep_cells: probability that a cell of the parent is kept; 0 redraws all cells.
        keep_links: probability that a link bit of the parent is kept; 0 redraws all links.
        embedding: size of the embedding of a cell, >= 1.
        hidden: width of the fully connected layers, >= 1.
        learn_from: which candidates train the policy.
        batch_size: number of rewarded candidates per update, >= 1.
        learning_rate: learning rate of Adam, > 0.
        gamma: discount factor of the rewards, in 0..1.
        baseline: decay of the moving average of rewards that serves as baseline, in 0..1.
        entropy: weight of the entropy bonus, >= 0.
        max_gradient: maximum norm of the gradient, to which it is clipped, > 0.
    """

    keep_cells: float = 0.85
    keep_links: float = 0.95
    embedding: int = 8
    hidden: int = 32
    learn_from: LearnFrom = LearnFrom.policy
    batch_size: int = 16
    learning_rate: float = 0.05
    gamma: float = 1.0
    baseline: float = 0.9
    entropy: float = 0.01
    max_gradient: float = 5.0

    def __post_init__(self) -> None:
        for name in ("keep_cells", "keep_links", "gamma", "baseline"):
            check_probability(f"controller.policy.{name}", getattr(self, name))
        for name in ("embedding", "hidden", "batch_size"):
            if (count := getattr(self, name)) < 1:
                raise UserError(f"controller.policy.{name} is {count}: it must be at least 1")
        for name in ("learning_rate", "max_gradient"):
            if (value := getattr(self, name)) <= 0:
                raise UserError(f"controller.policy.{name} is {value}: it must be positive")
        if self.entropy < 0:
            raise UserError(f"controller.policy.entropy is {self.entropy}: it cannot be negative")


@CONTROLLERS.register("hybrid", "falsr_nas.controller.hybrid:Hybrid")
@dataclass(frozen=True)
class HybridSettings(NSGA2Settings):
    """The paper's controller: NSGA-II with a mutation that draws from a learnt policy (paper, IV).

    Attributes:
        p_exploit: probability that a mutation is the policy's; otherwise it is an exploring one.
            The paper does not give it.
        policy: the policy and its training.
        reward: the reward that trains the policy.
    """

    p_exploit: float = 0.5
    policy: PolicySettings = field(default_factory=PolicySettings)
    reward: RewardSettings = field(default_factory=RewardSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_exploit", self.p_exploit)


@dataclass(frozen=True)
class ConditionalPolicySettings(Settings, group="controller.policy"):
    """The policy of ``controller=reinforced`` and its training (our choices).

    Attributes:
        hidden: width of the hidden layers, >= 1.
        learning_rate: learning rate of Adam, > 0.
        imagined: children by which it is trained on the surrogate after each generation, >= 0.
        batch_size: number of rewarded candidates per update by real scores, >= 1.
        max_weight: upper bound of the importance weights, > 0.
        divergence: weight of the divergence from the policy at the start, >= 0.
        max_gradient: maximum norm of the gradient, to which it is clipped, > 0.
    """

    hidden: int = 32
    learning_rate: float = 0.01
    imagined: int = 8192
    batch_size: int = 16
    max_weight: float = 2.0
    divergence: float = 0.05
    max_gradient: float = 5.0

    def __post_init__(self) -> None:
        for name, least in (("hidden", 1), ("batch_size", 1), ("imagined", 0)):
            if (count := getattr(self, name)) < least:
                raise UserError(f"controller.policy.{name} is {count}: it must be at least {least}")
        for name in ("learning_rate", "max_weight", "max_gradient"):
            if (value := getattr(self, name)) <= 0:
                raise UserError(f"controller.policy.{name} is {value}: it must be positive")
        if self.divergence < 0:
            raise UserError(
                f"controller.policy.divergence is {self.divergence}: it cannot be negative"
            )


@CONTROLLERS.register("reinforced", "falsr_nas.controller.reinforced.controller:Reinforced")
@dataclass(frozen=True)
class ReinforcedSettings(ScreeningSettings):
    """As ``screening``, with a mutation that draws from a learnt policy (our choice).

    Attributes:
        p_exploit: probability at the start that a mutation is the policy's.
        policy: the policy and its training.
    """

    p_exploit: float = 0.5
    policy: ConditionalPolicySettings = field(default_factory=ConditionalPolicySettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_exploit", self.p_exploit)


@CONTROLLERS.register("random", "falsr_nas.controller.random_search:RandomSearch")
@dataclass(frozen=True)
class RandomSettings(ControllerSettings):
    """Random search: uniform draws from the space, the baseline for all other controllers."""
