"""What a controller can be told. No heavy imports: the commands read this to print their help."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from falsr_nas.cli.registry import Registry
from falsr_nas.errors import UserError

if TYPE_CHECKING:
    from falsr_nas.controller.controller import Controller


def check_probability(name: str, value: float) -> None:
    """Raise UserError unless ``value`` is in [0, 1]."""
    if not 0 <= value <= 1:
        raise UserError(f"{name} is {value}: a probability is in 0..1")


class Mode(StrEnum):
    """When the controller is told."""

    generational = "generational"
    """A generation at a time (paper, IV): the same on any number of workers, each of which waits for the slowest of a generation."""
    steady = "steady"
    """Each evaluation as it ends: no worker ever waits, and which candidates come next depends on who ends first."""


@dataclass(frozen=True)
class Constraints:
    """The limits of a search (paper, II).

    Attributes:
        max_mult_adds: most mult-adds at 480x480 input, in G; None for no limit. Known before training, so never trained past.
        min_psnr: least PSNR on the validation images, in dB; None for no limit. Networks below it are dominated by all above it.
    """

    max_mult_adds: float | None = None
    min_psnr: float | None = None

    def __post_init__(self) -> None:
        if self.max_mult_adds is not None and self.max_mult_adds <= 0:
            raise UserError(
                f"constraints.max_mult_adds is {self.max_mult_adds}: give a positive number of G, or null"
            )


@dataclass(frozen=True)
class InitialSettings:
    """Links of the initial population: random with p_random, dense with p_dense, else none (paper, IV-B)."""

    p_random: float = 0.5
    p_dense: float = 0.25

    def __post_init__(self) -> None:
        check_probability("controller.initial.p_random", self.p_random)
        check_probability("controller.initial.p_dense", self.p_dense)
        check_probability("controller.initial.p_random + p_dense", self.p_random + self.p_dense)


@dataclass(frozen=True)
class ExplorationSettings:
    """The exploring mutations (paper, IV-E1): random below p_random, roulette wheel by FLOPs below p_flops, else by parameters.

    Attributes:
        p_random: the paper's p_mr.
        p_flops: the paper's p_mf, at least p_mr.
        p_cell: chance that random mutation redraws a cell; None for 1/n.
        p_link: chance that random mutation flips a link; None for one link in n(n+1)/2.
    """

    p_random: float = 0.6
    p_flops: float = 0.8
    p_cell: float | None = None
    p_link: float | None = None

    def __post_init__(self) -> None:
        for name in ("p_random", "p_flops", "p_cell", "p_link"):
            if (value := getattr(self, name)) is not None:
                check_probability(f"controller.exploration.{name}", value)
        if self.p_flops < self.p_random:
            raise UserError(
                "controller.exploration.p_flops must be at least p_random: it is the upper bound of the second kind"
            )


@dataclass(frozen=True)
class ControllerSettings:
    """What every controller has.

    Attributes:
        population_size: candidates of a generation, >= 2.
    """

    population_size: int = 64

    def __post_init__(self) -> None:
        if self.population_size < 2:
            raise UserError(
                f"controller.population_size is {self.population_size}: a generation needs at least 2 candidates"
            )


CONTROLLERS: Registry[ControllerSettings, Controller] = Registry("controller")
"""The options of the config group ``controller``. Factories take settings, space, constraints, rng."""


class Crossover(StrEnum):
    """How two parents are combined: see :mod:`falsr_nas.controller.crossover`."""

    single_point = "single_point"
    """Cut once; all genes after the cut come from the second parent."""
    paper = "paper"
    """The paper's formula (IV-D): one gene comes from the second parent."""


@CONTROLLERS.register("nsga2", "falsr_nas.controller.nsga2:NSGA2")
@dataclass(frozen=True)
class NSGA2Settings(ControllerSettings):
    """NSGA-II with the paper's variations.

    Attributes:
        initial: how the first population is linked.
        crossover: how two parents are combined.
        p_crossover: chance that a child has two parents.
        p_mutation: chance that a child of two parents is mutated, too; a child of one always is.
        exploration: the exploring mutations.
    """

    initial: InitialSettings = field(default_factory=InitialSettings)
    crossover: Crossover = Crossover.single_point
    p_crossover: float = 0.8
    p_mutation: float = 0.5
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_crossover", self.p_crossover)
        check_probability("controller.p_mutation", self.p_mutation)


class RewardKind(StrEnum):
    """What the policy is rewarded for: see :mod:`falsr_nas.controller.reward`."""

    hypervolume = "hypervolume"
    attainment = "attainment"
    rank = "rank"


@dataclass(frozen=True)
class RewardSettings:
    """The reward, which the paper leaves open.

    Attributes:
        kind: which one.
        clip: largest difference of PSNR that counts, in dB, > 0; of ``attainment`` alone.
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
class PolicySettings:
    """The reinforced mutation (paper, IV-E2 and Fig. 2). The paper gives gamma and the number of layers; all else is our choice.

    Attributes:
        keep_cells: chance that a cell of the parent stays; 0 resamples all cells.
        keep_links: chance that a link of the parent stays as it is; 0 resamples all links, given the cells.
        embedding: size of a cell's embedding, >= 1.
        hidden: width of the fully connected layers, >= 1.
        learn_from: whose rewards it learns from.
        batch_size: rewarded candidates of an update, >= 1.
        learning_rate: learning rate of Adam, > 0.
        gamma: discount of the rewards.
        baseline: how much of the moving average of rewards stays at an update, in 0..1.
        entropy: weight of the entropy bonus, >= 0.
        max_gradient: the gradient's norm is clipped to this, > 0.
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
    """NSGA-II whose mutation exploits what a policy has learnt (paper, IV).

    Attributes:
        p_exploit: chance that a mutation is the policy's; else it is one of the exploring ones.
        policy: the policy and how it learns.
        reward: what it is rewarded for.
    """

    p_exploit: float = 0.5
    policy: PolicySettings = field(default_factory=PolicySettings)
    reward: RewardSettings = field(default_factory=RewardSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_exploit", self.p_exploit)


@CONTROLLERS.register("aging", "falsr_nas.controller.aging:AgingEvolution")
@dataclass(frozen=True)
class AgingSettings(ControllerSettings):
    """Regularised evolution (Real et al., 2019): the oldest of the population dies, not the worst.

    Attributes:
        sample: networks of the population that compete to be the parent, >= 1; the best by rank, then crowding distance, is it.
        initial: how the first population is linked.
        exploration: the mutations.
    """

    sample: int = 16
    initial: InitialSettings = field(default_factory=InitialSettings)
    exploration: ExplorationSettings = field(
        default_factory=lambda: ExplorationSettings(p_random=1.0, p_flops=1.0)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 1:
            raise UserError(f"controller.sample is {self.sample}: it must be at least 1")


@CONTROLLERS.register("random", "falsr_nas.controller.random_search:RandomSearch")
@dataclass(frozen=True)
class RandomSettings(ControllerSettings):
    """Uniform draws from the space: the least that a search must beat."""


@CONTROLLERS.register("pymoo", "falsr_nas.controller.pymoo_nsga2:PymooNSGA2", extra="compare")
@dataclass(frozen=True)
class PymooSettings(ControllerSettings):
    """pymoo's NSGA-II, at its own variations of choices and bits.

    Attributes:
        p_crossover: chance that two parents are mixed.
    """

    p_crossover: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_crossover", self.p_crossover)


@CONTROLLERS.register("optuna", "falsr_nas.controller.optuna_nsga2:OptunaNSGA2", extra="compare")
@dataclass(frozen=True)
class OptunaSettings(ControllerSettings):
    """Optuna's NSGA-II sampler, at its own variations.

    Attributes:
        p_crossover: chance that two parents are mixed.
        p_mutation: chance that a gene is drawn anew; None for one gene on average.
    """

    p_crossover: float = 0.9
    p_mutation: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_crossover", self.p_crossover)
        if self.p_mutation is not None:
            check_probability("controller.p_mutation", self.p_mutation)
