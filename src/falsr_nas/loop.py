"""The search loop: ask, execute, store, tell (paper, IV). Needs neither Hydra nor torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.archive.serialization import candidate_from_json, candidate_to_json
from falsr_nas.archive.store import Store
from falsr_nas.controller.controller import Controller
from falsr_nas.controller.settings import Mode
from falsr_nas.execution.executor import Executor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies


class Observer(Protocol):
    """Observer of a search, e.g. for progress, tracking or reports."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Called when an evaluation has ended and is stored."""
        ...

    def generation_ended(self, generation: int) -> None:
        """Called when the controller was told a generation.

        In steady mode it is called after every ``population_size`` evaluations.
        """
        ...


def run_search(
    controller: Controller,
    executor: Executor,
    store: Store,
    *,
    budget: int,
    population_size: int,
    mode: Mode = Mode.generational,
    policies: FailurePolicies | None = None,
    observers: Sequence[Observer] = (),
) -> None:
    """Search until ``budget`` candidates are evaluated, or the controller has no network left.

    If the store already holds a search, the search is resumed; finished evaluations are not
    repeated.

    Args:
        controller: proposes candidates and learns from their evaluations.
        executor: evaluates them.
        store: stores evaluations and the state of the controller.
        budget: number of candidates.
        population_size: candidates per generation.
        mode: whether the controller is told whole generations or each evaluation.
        policies: how failed evaluations are handled; None for the defaults.
        observers: called after each evaluation and each generation.

    Raises:
        SearchError: the policies stop the search, or workers cannot be started any more.
        UserError: for a mistake that the user can correct.
    """
    told = store.evaluations(told=True)
    pending: list[Candidate] = []
    if (state := store.state()) is not None:
        pending = [candidate_from_json(one) for one in state["pending"]]
        controller.restore(state["controller"], told, pending)
    retrying = RetryingExecutor(executor, policies or FailurePolicies(), store.add_failure)
    search = _Search(controller, retrying, store, observers, budget, population_size)
    if mode is Mode.steady:
        search.run_steady(len(told), pending)
    else:
        search.run_generational(len(told))


@dataclass(frozen=True)
class _Search:
    """The parts of a search, and its two modes."""

    controller: Controller
    executor: RetryingExecutor
    store: Store
    observers: Sequence[Observer]
    budget: int
    population_size: int

    def run_generational(self, asked: int) -> None:
        """Ask for a generation, execute and store its evaluations, tell it; repeat.

        A restored controller asks for the interrupted generation again; its finished candidates are
        not evaluated twice. If the budget ends within a generation, its evaluations are stored but
        not told, so that a search resumed with a larger budget continues as if it had never
        stopped.

        Args:
            asked: number of candidates of earlier generations.
        """
        finished = {one.key: one for one in self.store.evaluations(told=False)}
        while asked < self.budget:
            generation = self.controller.ask(self.population_size)
            if not generation:
                return
            affordable = generation[: self.budget - asked]
            asked += len(affordable)
            finished |= self._execute([one for one in affordable if one.key not in finished])
            if len(affordable) < len(generation):
                return
            self.controller.tell([finished.pop(one.key) for one in generation])
            self.store.commit_state(self._state())
            self._generation_ended(generation[-1].generation)

    def run_steady(self, told: int, pending: Sequence[Candidate]) -> None:
        """Keep all workers busy: ask for as many candidates as are free, tell each evaluation.

        The evaluation, the controller's state after it and the candidates in flight are stored in
        one transaction.

        Args:
            told: number of evaluations that the controller was told.
            pending: candidates that were in flight when the search stopped; they are evaluated
                first.
        """
        in_flight: dict[str, Candidate] = {}
        self._submit(pending, in_flight)
        while told < self.budget:
            unasked = self.budget - told - len(in_flight)
            free = min(self.executor.capacity - len(in_flight), unasked)
            if free > 0:
                self._submit(self.controller.ask(free), in_flight)
            if not in_flight:
                return
            evaluation = self.executor.collect()
            del in_flight[evaluation.key]
            self.controller.tell([evaluation])
            self.store.commit_state(self._state(in_flight.values()), [evaluation])
            told += 1
            self._evaluated(evaluation)
            if told % self.population_size == 0:
                self._generation_ended(told // self.population_size - 1)

    def _execute(self, candidates: Sequence[Candidate]) -> dict[str, Evaluation]:
        """Evaluate candidates, store each evaluation when it ends, and return them by key."""
        for candidate in candidates:
            self.executor.submit(candidate)
        evaluations: dict[str, Evaluation] = {}
        for _ in candidates:
            evaluation = self.executor.collect()
            self.store.add(evaluation)
            evaluations[evaluation.key] = evaluation
            self._evaluated(evaluation)
        return evaluations

    def _submit(self, candidates: Sequence[Candidate], in_flight: dict[str, Candidate]) -> None:
        for candidate in candidates:
            self.executor.submit(candidate)
            in_flight[candidate.key] = candidate

    def _state(self, pending: Iterable[Candidate] = ()) -> dict[str, Any]:
        return {
            "controller": self.controller.state(),
            "pending": [candidate_to_json(candidate) for candidate in pending],
        }

    def _evaluated(self, evaluation: Evaluation) -> None:
        for observer in self.observers:
            observer.evaluated(evaluation)

    def _generation_ended(self, generation: int) -> None:
        for observer in self.observers:
            observer.generation_ended(generation)
