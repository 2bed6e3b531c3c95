"""The search loop: ask, run, store, tell (paper, IV). Needs neither Hydra nor torch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.archive.serialization import candidate_from_json, candidate_to_json
from falsr_nas.archive.store import Store
from falsr_nas.controller.controller import Controller

_log = logging.getLogger(__name__)


class FinalExecutor(Protocol):
    """Evaluates candidates, and returns each one with its final outcome."""

    @property
    def capacity(self) -> int:
        """Number of evaluations that run at once."""
        ...

    def submit(self, candidate: Candidate) -> None:
        """Submit a candidate for evaluation, without waiting for it."""
        ...

    def collect(self) -> Evaluation:
        """Wait for the next candidate with a final outcome, and return its evaluation.

        Raises:
            SearchError: the search cannot continue.
            UserError: for a mistake that the user can correct.
        """
        ...


class Observer(Protocol):
    """Observer of a search, e.g. for progress, tracking or reports."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Called when an evaluation has ended and is stored."""
        ...

    def generation_ended(self, generation: int) -> None:
        """Called when the controller was told a generation."""
        ...


def run_search(
    controller: Controller,
    executor: FinalExecutor,
    store: Store,
    *,
    budget: int,
    observers: Sequence[Observer] = (),
) -> None:
    """Search until ``budget`` candidates are evaluated, or the controller finds no other network.

    If the store already holds a search, the search is resumed.

    Args:
        controller: proposes candidates and learns from their evaluations.
        executor: evaluates them.
        store: stores evaluations and the state of the controller.
        budget: number of candidates.
        observers: called after each evaluation and each generation.

    Raises:
        SearchError: the search cannot continue.
        UserError: for a mistake that the user can correct.
    """
    told = store.evaluations(told=True)
    pending: list[Candidate] = []
    if (state := store.state()) is not None:
        with store.reading():
            pending = [candidate_from_json(value) for value in state["pending"]]
            controller.restore(state["controller"], told, pending)
    _Search(controller, executor, store, budget, observers).run(told, pending)


@dataclass(frozen=True)
class _Search:
    """The parts of a search."""

    controller: Controller
    executor: FinalExecutor
    store: Store
    budget: int
    observers: Sequence[Observer]

    def run(self, told: Sequence[Evaluation], pending: Sequence[Candidate]) -> None:
        """Ask for a generation, run it, store its evaluations, tell it; repeat.

        A generation is stored before it runs, so that an interrupted one is finished whatever the
        controller would draw now. If the budget ends within a generation, its evaluations are
        stored but not told, so that a search resumed with a larger budget continues as if it had
        never stopped.

        Args:
            told: evaluations of earlier generations.
            pending: the interrupted generation.
        """
        asked = len(told)
        stored = {evaluation.key: evaluation for evaluation in self.store.evaluations(told=False)}
        if stored and not pending:
            pending = self._asked_again(told, stored)
        while asked < self.budget:
            generation = pending or self.controller.ask(self.controller.population_size)
            if not generation:
                self._warn_of_the_end(asked)
                return
            if not pending:
                self.store.commit_state(self._state(generation))
            pending = ()
            affordable = generation[: self.budget - asked]
            asked += len(affordable)
            evaluations = self._run(affordable, stored)
            if len(affordable) < len(generation):
                return
            self.controller.tell([evaluations[candidate.key] for candidate in generation])
            self.store.commit_state(self._state())
            self._generation_ended(generation[-1].generation)

    def _asked_again(
        self, told: Sequence[Evaluation], stored: Mapping[str, Evaluation]
    ) -> list[Candidate]:
        """Return an interrupted generation of which only evaluations are stored.

        Earlier versions did not store the others. The controller draws them again; what it draws
        otherwise than before only gets the numbers that are left.
        """
        drawn = self.controller.ask(self.controller.population_size)
        kept = {one.candidate.number: one.candidate for one in stored.values()}
        others = {one.number: one for one in drawn if one.key not in stored}
        generation = [one for _, one in sorted((others | kept).items())]
        if generation != drawn:
            self.controller.restore(self.controller.state(), told, generation)
        return generation

    def _run(
        self, candidates: Sequence[Candidate], stored: Mapping[str, Evaluation]
    ) -> dict[str, Evaluation]:
        """Run those candidates that are not stored, and return the evaluations of all by key.

        Each evaluation is stored when it ends.
        """
        evaluations = dict(stored)
        missing = [candidate for candidate in candidates if candidate.key not in stored]
        for candidate in missing:
            self.executor.submit(candidate)
        for _ in missing:
            evaluation = self.executor.collect()
            evaluations[evaluation.key] = evaluation
            self.store.add(evaluation)
            self._evaluated(evaluation)
        return evaluations

    def _state(self, pending: Iterable[Candidate] = ()) -> dict[str, Any]:
        return {
            "controller": self.controller.state(),
            "pending": [candidate_to_json(candidate) for candidate in pending],
        }

    def _warn_of_the_end(self, count: int) -> None:
        _log.warning(
            "the controller found no other network within the limits: the search ends with %d of"
            " %d candidates",
            count,
            self.budget,
        )

    def _evaluated(self, evaluation: Evaluation) -> None:
        for observer in self.observers:
            observer.evaluated(evaluation)

    def _generation_ended(self, generation: int) -> None:
        for observer in self.observers:
            observer.generation_ended(generation)
