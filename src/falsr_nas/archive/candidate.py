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
        operators: what made it, in order, e.g. ``("crossover", "roulette_params")`` or
            ``("initial",)``.
        parents: keys of the genomes it was made from.
        log_prob: where the policy mutated it, the natural logarithm of the probability with which
            the policy drew the genes that it redrew; genes kept from the parent do not count.
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
    """The training blew up: its loss, output or score is no number."""
    OUT_OF_MEMORY = "out_of_memory"
    """Of the processor or the accelerator, or more than the limit allows."""
    TIMEOUT = "timeout"
    """It took longer than the limit allows."""
    WORKER_DIED = "worker_died"
    """Its process was killed or crashed."""
    NODE_LOST = "node_lost"
    """The machine that it ran on is gone."""
    BAD_DATA = "bad_data"
    """An image that could be read before cannot be read any more."""
    BUG = "bug"
    """Any other exception."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong.

    Attributes:
        kind: what policies go by.
        message: one line for people.
        traceback: where it went wrong; empty where there is none.
        place: the worker that it went wrong on; empty where there is only one.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    place: str = ""


class AttemptOutcome(StrEnum):
    """What becomes of a candidate after an attempt that failed."""

    RETRIED = "retried"
    INFEASIBLE = "infeasible"
    """That was its last attempt: it has no score."""
    STOPPED = "stopped"
    """The search stopped for it: it is evaluated anew when the search goes on."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt at a candidate that failed.

    Attributes:
        number: the candidate's.
        key: its genome's.
        attempt: which one it was, counted from 1.
        failure: what went wrong.
        outcome: what became of the candidate.
    """

    number: int
    key: str
    attempt: int
    failure: Failure
    outcome: AttemptOutcome


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
    """A candidate and its outcome: either a score or a failure.

    Attributes:
        candidate: what was evaluated.
        outcome: of the last attempt.
        earlier: failures of the attempts before that.
    """

    candidate: Candidate
    outcome: Score | Failure
    earlier: tuple[Failure, ...] = ()

    @property
    def key(self) -> str:
        """The genome's key."""
        return self.candidate.key

    @property
    def score(self) -> Score | None:
        """The score, or None where the evaluation failed."""
        return self.outcome if isinstance(self.outcome, Score) else None

    @property
    def attempts(self) -> int:
        """How often it was tried."""
        return len(self.earlier) + 1
