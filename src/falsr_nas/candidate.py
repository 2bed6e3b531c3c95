"""The words that controller, evaluator, executor and store share: a candidate, where it came from, what it scored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome


@dataclass(frozen=True, slots=True)
class Origin:
    """How a candidate came to be.

    Attributes:
        operators: what made it, in order, e.g. ``("crossover", "roulette_params")`` or ``("initial",)``.
        parents: keys of the genomes it was made from.
        log_prob: natural logarithm of the policy's probability of it, where the policy made it.
    """

    operators: tuple[str, ...]
    parents: tuple[str, ...] = ()
    log_prob: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A genome that the controller wants evaluated.

    Attributes:
        genome: the network.
        cost: its parameters and mult-adds, known before any training.
        origin: how it came to be.
        generation: counted from 0; the initial population is generation 0.
        number: its place among all candidates of the search, counted from 0.
    """

    genome: Genome
    cost: Cost
    origin: Origin
    generation: int
    number: int

    @property
    def key(self) -> str:
        """The genome's key."""
        return self.genome.key


class FailureKind(StrEnum):
    """Why an evaluation has no score."""

    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: its kind, one line for people, and the traceback where there is one."""

    kind: FailureKind
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """Quality on the validation images.

    Attributes:
        mse: mean squared error of the luma in 8-bit levels, over the images; > 0.
        psnr: 10 log10(255^2 / mse), in dB.
        seconds: what the evaluation took.
    """

    mse: float
    psnr: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A candidate and its outcome: either a score or a failure."""

    candidate: Candidate
    outcome: Score | Failure

    @property
    def key(self) -> str:
        """The genome's key."""
        return self.candidate.key

    @property
    def score(self) -> Score | None:
        """The score, or None where the evaluation failed."""
        return self.outcome if isinstance(self.outcome, Score) else None
