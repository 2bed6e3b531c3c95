"""The search itself: ask, execute, store, tell (paper, IV). Knows no Hydra, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from falsr_nas.candidate import Candidate, Evaluation, Failure, FailureKind
from falsr_nas.controller.controller import Controller
from falsr_nas.execution.executor import Executor
from falsr_nas.store import Store

BUGS_IN_A_ROW = 3
"""Unexpected exceptions, one after the other, that end a search: it would fail all night."""


class SearchError(Exception):
    """The search cannot go on; the message says why. What was finished is stored."""


class Observer(Protocol):
    """Watches a search: progress, tracking, reports."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """An evaluation has ended and is stored."""
        ...

    def generation_ended(self, generation: int) -> None:
        """A whole generation is told and stored."""
        ...


def run_search(
    controller: Controller,
    executor: Executor,
    store: Store,
    *,
    budget: int,
    population: int,
    observers: Sequence[Observer] = (),
) -> None:
    """Search until ``budget`` candidates are evaluated or no network is left, generation by generation.

    Continues from the store where it holds a search already: the controller, restored, asks for the same generation again, and what
    of it was finished is not evaluated twice. A last generation that the budget cuts short is evaluated but not told, so that a later
    run with a larger budget goes on as if it had never stopped.

    Raises:
        SearchError: BUGS_IN_A_ROW evaluations in a row ended in an unexpected exception.
    """
    told = store.evaluations(told=True)
    if (state := store.state()) is not None:
        controller.restore(state, told)
    done = {evaluation.key: evaluation for evaluation in store.evaluations(told=False)}
    asked = len(told)
    while asked < budget:
        candidates = controller.ask(population)
        if not candidates:
            return
        affordable = candidates[: budget - asked]
        asked += len(affordable)
        done |= _evaluate([candidate for candidate in affordable if candidate.key not in done], executor, store, observers)
        if len(affordable) < len(candidates):
            return
        controller.tell([done.pop(candidate.key) for candidate in candidates])
        store.commit_state(controller.state())
        for observer in observers:
            observer.generation_ended(candidates[-1].generation)


def _evaluate(candidates: Sequence[Candidate], executor: Executor, store: Store, observers: Sequence[Observer]) -> dict[str, Evaluation]:
    """The evaluations of the candidates by key, each stored as it ends."""
    for candidate in candidates:
        executor.submit(candidate)
    evaluations: dict[str, Evaluation] = {}
    bugs = 0
    for _ in candidates:
        evaluation = executor.collect()
        store.add(evaluation)
        evaluations[evaluation.key] = evaluation
        for observer in observers:
            observer.evaluated(evaluation)
        outcome = evaluation.outcome
        bugs = bugs + 1 if isinstance(outcome, Failure) and outcome.kind is FailureKind.BUG else 0
        if isinstance(outcome, Failure) and bugs == BUGS_IN_A_ROW:
            raise SearchError(f"{bugs} candidates in a row failed: {outcome.message}\n{outcome.traceback}")
    return evaluations
