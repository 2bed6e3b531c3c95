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
from falsr_nas.execution.retrying import Retrying
from falsr_nas.execution.settings import FailurePolicies


class Observer(Protocol):
    """Observes a search: progress, tracking, reports."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Called when an evaluation has ended and is stored."""
        ...

    def generation_ended(self, generation: int) -> None:
        """Called when a generation is told; in steady mode, after as many evaluations."""
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
    """Search until ``budget`` candidates are evaluated or no network is left.

    If the store holds a search already, it is continued; finished evaluations are not repeated.

    Raises:
        SearchError: too many candidates failed, by the ``policies`` (default ones if None), or
            there are no workers any more.
        UserError: for a mistake that the user can correct.
    """
    told = store.evaluations(told=True)
    pending: list[Candidate] = []
    if (state := store.state()) is not None:
        pending = [candidate_from_json(text) for text in state["pending"]]
        controller.restore(state["controller"], told, pending)
    run = _Run(
        controller,
        Retrying(executor, policies or FailurePolicies(), store.add_failure),
        store,
        observers,
    )
    if mode is Mode.steady:
        run.steadily(len(told), pending, budget, population_size)
    else:
        run.by_generations(len(told), budget, population_size)


@dataclass
class _Run:
    """The search of one call of :func:`run_search`."""

    controller: Controller
    executor: Retrying
    store: Store
    observers: Sequence[Observer]

    def by_generations(self, asked: int, budget: int, population_size: int) -> None:
        """Tell the controller whole generations.

        A restored controller asks for the same generation again; its finished candidates are not
        evaluated twice. A last generation that the budget cuts short is evaluated but not told, so
        that a later run with a larger budget continues as if the search had never stopped.
        """
        done = {evaluation.key: evaluation for evaluation in self.store.evaluations(told=False)}
        while asked < budget:
            candidates = self.controller.ask(population_size)
            if not candidates:
                return
            affordable = candidates[: budget - asked]
            asked += len(affordable)
            done |= self._evaluate(
                [candidate for candidate in affordable if candidate.key not in done]
            )
            if len(affordable) < len(candidates):
                return
            self.controller.tell([done.pop(candidate.key) for candidate in candidates])
            self.store.commit_state(self._state())
            self._generation_ended(candidates[-1].generation)

    def steadily(
        self, told: int, pending: Sequence[Candidate], budget: int, population_size: int
    ) -> None:
        """Keep every worker busy, and tell the controller each evaluation when it ends.

        The evaluation, the controller's state after it and the candidates in flight are stored in
        one transaction. A resumed search starts the latter again.
        """
        in_flight: dict[str, Candidate] = {}
        self._launch(pending, in_flight)
        while told < budget:
            free = min(self.executor.capacity - len(in_flight), budget - told - len(in_flight))
            if free > 0:
                self._launch(self.controller.ask(free), in_flight)
            if not in_flight:
                return
            evaluation = self.executor.collect()
            del in_flight[evaluation.key]
            self.controller.tell([evaluation])
            self.store.commit_state(self._state(in_flight.values()), [evaluation])
            told += 1
            self._ended(evaluation)
            if told % population_size == 0:
                self._generation_ended(told // population_size - 1)

    def _launch(self, candidates: Sequence[Candidate], in_flight: dict[str, Candidate]) -> None:
        for candidate in candidates:
            self.executor.submit(candidate)
            in_flight[candidate.key] = candidate

    def _evaluate(self, candidates: Sequence[Candidate]) -> dict[str, Evaluation]:
        """Evaluate the candidates and store each evaluation when it ends; return them by key."""
        for candidate in candidates:
            self.executor.submit(candidate)
        evaluations: dict[str, Evaluation] = {}
        for _ in candidates:
            evaluation = self.executor.collect()
            self.store.add(evaluation)
            evaluations[evaluation.key] = evaluation
            self._ended(evaluation)
        return evaluations

    def _state(self, pending: Iterable[Candidate] = ()) -> dict[str, Any]:
        return {
            "controller": self.controller.state(),
            "pending": [candidate_to_json(candidate) for candidate in pending],
        }

    def _ended(self, evaluation: Evaluation) -> None:
        for observer in self.observers:
            observer.evaluated(evaluation)

    def _generation_ended(self, generation: int) -> None:
        for observer in self.observers:
            observer.generation_ended(generation)
