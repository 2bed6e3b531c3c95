"""What a controller can be told. No heavy imports: the commands read this to print their help."""

from __future__ import annotations

from dataclasses import dataclass, field

from falsr_nas.errors import UserError


def check_probability(name: str, value: float) -> None:
    """Raise UserError unless ``value`` is in [0, 1]."""
    if not 0 <= value <= 1:
        raise UserError(f"{name} is {value}: a probability is in 0..1")


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
            raise UserError(f"constraints.max_mult_adds is {self.max_mult_adds}: give a positive number of G, or null")


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
            raise UserError("controller.exploration.p_flops must be at least p_random: it is the upper bound of the second kind")


@dataclass(frozen=True)
class ControllerSettings:
    """What every controller has.

    Attributes:
        population: candidates of a generation, >= 2.
    """

    population: int = 64

    def __post_init__(self) -> None:
        if self.population < 2:
            raise UserError(f"controller.population is {self.population}: a generation needs at least 2 candidates")


@dataclass(frozen=True)
class NSGA2Settings(ControllerSettings):
    """NSGA-II with the paper's variations.

    Attributes:
        initial: how the first population is linked.
        p_crossover: chance that a child has two parents.
        p_mutation: chance that a child of two parents is mutated, too; a child of one always is.
        exploration: the exploring mutations.
    """

    initial: InitialSettings = field(default_factory=InitialSettings)
    p_crossover: float = 0.8
    p_mutation: float = 0.5
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("controller.p_crossover", self.p_crossover)
        check_probability("controller.p_mutation", self.p_mutation)
