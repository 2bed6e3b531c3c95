"""Candidates, their origin and their outcome: what controllers, executors and stores share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome


@dataclass(frozen=True, slots=True)
class Origin:
    """How a candidate was created.

    Attributes:
        operators: the operators that created it, in order, e.g.
            ``("crossover", "roulette_params")`` or ``("initial",)``.
        parents: keys of the parent genomes.
        log_prob: natural logarithm of the probability with which the policy drew the genes that it
            redrew; genes kept from the parent do not count. None if the policy was not used.
    """

    operators: tuple[str, ...]
    parents: tuple[str, ...] = ()
    log_prob: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A genome that the controller proposes for evaluation.

    Attributes:
        genome: the network.
        cost: its parameters and mult-adds, known before any training.
        origin: how it was created.
        generation: counted from 0; the initial population is generation 0.
        number: its position among all candidates of the search, counted from 0.
        repeat: is added to the seed of a full training; 0 in a search.
    """

    genome: Genome
    cost: Cost
    origin: Origin
    generation: int
    number: int
    repeat: int = 0

    @property
    def key(self) -> str:
        """Key of the genome."""
        return self.genome.key


class FailureKind(StrEnum):
    """Why an evaluation has no score."""

    DIVERGED = "diverged"
    """The training diverged: its loss, output or score is not finite."""
    OUT_OF_MEMORY = "out_of_memory"
    """Main or GPU memory was exhausted, or the worker exceeded ``execution.memory_limit``."""
    TIMEOUT = "timeout"
    """The evaluation exceeded ``execution.time_limit``."""
    WORKER_DIED = "worker_died"
    """The worker process was killed or crashed."""
    BAD_DATA = "bad_data"
    """An image that was readable before cannot be read any more."""
    BUG = "bug"
    """Any other exception."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt at an evaluation failed.

    Attributes:
        kind: decides which failure policy applies.
        message: one line for users.
        traceback: the traceback of the exception, or empty.
        place: the worker that the evaluation ran on; empty where there is only one.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    place: str = ""


class AttemptOutcome(StrEnum):
    """What happens to a candidate after a failed attempt."""

    RETRIED = "retried"
    """It is evaluated again."""
    INFEASIBLE = "infeasible"
    """It was the last attempt: the candidate has no score."""
    STOPPED = "stopped"
    """The search stops, and evaluates the candidate again when it is resumed."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A failed attempt to evaluate a candidate.

    Attributes:
        number: number of the candidate.
        key: key of its genome.
        attempt: number of the attempt, counted from 1.
        failure: why it failed.
        outcome: what happened to the candidate after it.
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
        mse: mean squared error of the luma over all images, in squared 8-bit levels; > 0.
        psnr: 10 log10(255^2 / mse), in dB.
        seconds: duration of the evaluation.
        steps: optimiser steps behind the weights; None where it is not known.
        latency: measured latency of the network in ms; None where it was not measured.
        latency_spread: median absolute deviation over the rounds of the measurement, in ms.
    """

    mse: float
    psnr: float
    seconds: float
    steps: int | None = None
    latency: float | None = None
    latency_spread: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A candidate and its outcome: either a score or a failure.

    Attributes:
        candidate: the candidate.
        outcome: outcome of the last attempt.
        earlier: failures of the attempts before it.
    """

    candidate: Candidate
    outcome: Score | Failure
    earlier: tuple[Failure, ...] = ()

    @property
    def key(self) -> str:
        """Key of the genome."""
        return self.candidate.key

    @property
    def genome(self) -> Genome:
        """The network."""
        return self.candidate.genome

    @property
    def cost(self) -> Cost:
        """Its parameters and mult-adds."""
        return self.candidate.cost

    @property
    def score(self) -> Score | None:
        """The score, or None if the evaluation failed."""
        return self.outcome if isinstance(self.outcome, Score) else None

    def at(self, place: str) -> Evaluation:
        """Return the evaluation with the name of its worker in the failure, if it failed."""
        if isinstance(self.outcome, Score):
            return self
        return replace(self, outcome=replace(self.outcome, place=place))

    @property
    def attempts(self) -> int:
        """Number of attempts, including the last one."""
        return len(self.earlier) + 1
