"""The stages of a candidate's training: rungs, inherited weights and fresh repeats.

This module decides with which weights an evaluation begins and how long it trains. Weights travel
with candidates and evaluations, so that all executors are alike; only the process of the search
reads and writes their files.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import replace

from falsr_nas.archive.candidate import Candidate, Evaluation, TrainingPlan
from falsr_nas.archive.store import Store
from falsr_nas.archive.weights import Weights, WeightsFolder
from falsr_nas.evaluation.settings import InheritanceSettings, RungSettings


class Stages:
    """Plans the evaluations of candidates, and keeps the weights between them.

    Args:
        store: the store of the search.
        folder: folder of the weights; None where no setting needs any.
        epochs: epochs of a whole training.
        rungs: when candidates are compared and stopped.
        inheritance: whether children begin with the weights of their parents.
    """

    def __init__(
        self,
        store: Store,
        folder: WeightsFolder | None = None,
        epochs: int = 1,
        rungs: RungSettings | None = None,
        inheritance: InheritanceSettings | None = None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._epochs = epochs
        self._rungs = rungs or RungSettings()
        self._share = inheritance.share if inheritance else None

    @property
    def last_rung(self) -> int:
        """The rung at which a training ends that is not stopped before."""
        return len(self._rungs.epochs)

    @property
    def inherits(self) -> bool:
        """Whether children begin with the weights of their parents."""
        return self._share is not None

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
        if not self.last_rung and not self.inherits:
            return candidate
        own = self._load(candidate.key, rung - 1) if rung else None
        start = own or self._parent_weights(candidate)
        lengths = self._lengths(inherited=own.born > 0 if own else start is not None)
        plan = TrainingPlan(
            lengths[rung : rung + 1] if own else lengths[: rung + 1],
            rung,
            start=start,
            returns_weights=rung < self.last_rung or self.inherits,
        )
        return replace(candidate, plan=plan)

    def repeated(self, candidate: Candidate, repeat: int) -> Candidate:
        """Return a candidate with the plan of a whole training with fresh seeds.

        It begins like the candidate's own training, from scratch or with its parent's weights, and
        goes through all rungs, also those that the candidate did not reach: so all fresh scores are
        of the same length.
        """
        start = self._parent_weights(candidate)
        lengths = self._lengths(inherited=start is not None)
        return replace(candidate, plan=TrainingPlan(lengths, self.last_rung, repeat, start))

    def save(self, evaluation: Evaluation) -> None:
        """Write the weights that came with an evaluation, if any."""
        if evaluation.weights is not None and self._folder is not None:
            self._folder.save(evaluation.key, evaluation.rung, evaluation.weights)

    def prune(self, keys: Collection[str]) -> None:
        """Delete the weights of all candidates but those with these keys."""
        if self._folder is not None:
            self._folder.prune(keys)

    def _parent_weights(self, candidate: Candidate) -> Weights | None:
        """Return the weights of the first parent, from the rung at which its training ended."""
        parents = candidate.origin.parents
        if not self.inherits or not parents:
            return None
        rung = self._store.rung(parents[0])
        return None if rung is None else self._load(parents[0], rung)

    def _load(self, key: str, rung: int) -> Weights | None:
        return None if self._folder is None else self._folder.load(key, rung)

    def _lengths(self, *, inherited: bool) -> tuple[int, ...]:
        """Return the epochs between the rungs, each at least 1."""
        share = self._share if inherited and self._share else 1.0
        ends = [0]
        for epochs in (*self._rungs.epochs, self._epochs):
            ends.append(max(ends[-1] + 1, round(share * epochs)))
        return tuple(after - before for before, after in itertools.pairwise(ends))
