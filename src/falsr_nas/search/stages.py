"""The stages of a candidate's training: rungs and fresh repeats.

This module decides with which weights an evaluation begins and how long it trains. Weights travel
with candidates and evaluations, so that all executors are alike; only the process of the search
reads and writes their files.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import replace

from falsr_nas.archive.candidate import Candidate, Evaluation, TrainingPlan
from falsr_nas.archive.weights import Weights, WeightsFolder
from falsr_nas.evaluation.settings import RungSettings


class Stages:
    """Plans the evaluations of candidates, and keeps the weights between them.

    Args:
        folder: folder of the weights; None where no setting needs any.
        epochs: epochs of a whole training.
        rungs: when candidates are compared and stopped.
    """

    def __init__(
        self,
        folder: WeightsFolder | None = None,
        epochs: int = 1,
        rungs: RungSettings | None = None,
    ) -> None:
        self._folder = folder
        self._epochs = epochs
        self._rungs = rungs or RungSettings()

    @property
    def last_rung(self) -> int:
        """The rung at which a training ends that is not stopped before."""
        return len(self._rungs.epochs)

    def places(self, rung: int, count: int) -> int:
        """Return how many of the ``count`` candidates of a generation go on after a rung."""
        return self._rungs.counts(count)[rung]

    def share(self, rung: int) -> float:
        """Return the share of the candidates at a rung that go on after it."""
        return self._rungs.keep[rung] / (self._rungs.keep[rung - 1] if rung else 1.0)

    def planned(self, candidate: Candidate, rung: int = 0) -> Candidate:
        """Return a candidate with the plan of its training up to the end of a rung.

        It continues from the weights of the rung before. Where these are missing, the plan has all
        parts from the first one on, which gives the same weights again.
        """
        if not self.last_rung:
            return candidate
        start = self._load(candidate.key, rung - 1) if rung else None
        lengths = self._lengths()
        plan = TrainingPlan(
            lengths[rung : rung + 1] if start else lengths[: rung + 1],
            rung,
            start=start,
            returns_weights=rung < self.last_rung,
        )
        return replace(candidate, plan=plan)

    def repeated(self, candidate: Candidate, repeat: int) -> Candidate:
        """Return a candidate with the plan of a whole training with fresh seeds.

        It goes through all rungs, also those that the candidate did not reach: so all fresh scores
        are of the same length.
        """
        return replace(candidate, plan=TrainingPlan(self._lengths(), self.last_rung, repeat))

    def save(self, evaluation: Evaluation) -> None:
        """Write the weights that came with an evaluation, if any."""
        if evaluation.weights is not None and self._folder is not None:
            self._folder.save(evaluation.key, evaluation.rung, evaluation.weights)

    def prune(self, keys: Collection[str]) -> None:
        """Delete the weights of all candidates but those with these keys."""
        if self._folder is not None:
            self._folder.prune(keys)

    def _load(self, key: str, rung: int) -> Weights | None:
        return None if self._folder is None else self._folder.load(key, rung)

    def _lengths(self) -> tuple[int, ...]:
        """Return the epochs between the rungs."""
        ends = (0, *self._rungs.epochs, self._epochs)
        return tuple(after - before for before, after in itertools.pairwise(ends))
