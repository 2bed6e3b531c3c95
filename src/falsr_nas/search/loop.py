"""The search loop: ask, execute, store, tell (paper, IV). Needs neither Hydra nor torch."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from falsr_nas.archive.candidate import (
    AttemptOutcome,
    Candidate,
    Evaluation,
    FailedAttempt,
    Failure,
    Score,
    TrainingPlan,
)
from falsr_nas.archive.serialization import candidate_from_json, candidate_to_json
from falsr_nas.archive.store import Store
from falsr_nas.controller.controller import Controller
from falsr_nas.controller.settings import Mode
from falsr_nas.execution.executor import Executor
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.execution.settings import FailurePolicies
from falsr_nas.objectives.fresh import with_fresh_scores
from falsr_nas.objectives.problem import Problem
from falsr_nas.search.halving import goes_on, survivors
from falsr_nas.search.stages import Stages

_log = logging.getLogger(__name__)


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
    problem: Problem | None = None,
    stages: Stages | None = None,
    fresh_scores: int = 0,
    observers: Sequence[Observer] = (),
) -> None:
    """Search until ``budget`` candidates are evaluated, or the controller finds no other network.

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
        problem: by which candidates are compared at rungs and on the front.
        stages: rungs; None for whole trainings.
        fresh_scores: how often the members of the front are scored again at the end.
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
    search = _Search(
        controller,
        RetryingExecutor(executor, policies or FailurePolicies(), store.add_failure),
        store,
        stages or Stages(),
        problem or Problem(),
        observers,
        budget,
        population_size,
        fresh_scores,
    )
    if mode is Mode.steady:
        search.run_steady(told, pending)
    else:
        search.run_generational(len(told))
    if fresh_scores:
        search.score_front_again()


@dataclass(frozen=True)
class _Search:
    """The parts of a search, and its two modes."""

    controller: Controller
    executor: RetryingExecutor
    store: Store
    stages: Stages
    problem: Problem
    observers: Sequence[Observer]
    budget: int
    population_size: int
    fresh_scores: int

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
                self._warn_of_the_end(asked)
                return
            affordable = generation[: self.budget - asked]
            asked += len(affordable)
            evaluations = self._run_rungs(affordable, finished)
            finished.clear()
            if len(affordable) < len(generation):
                return
            self.controller.tell([evaluations[one.key] for one in generation])
            self.store.commit_state(self._state())
            self._prune(())
            self._generation_ended(generation[-1].generation)

    def run_steady(self, told: Sequence[Evaluation], pending: Sequence[Candidate]) -> None:
        """Keep all workers busy: ask for as many candidates as are free, tell each evaluation.

        The evaluation, the controller's state after it and the candidates in flight are stored in
        one transaction. A candidate that goes on after a rung is submitted again at once.

        Args:
            told: evaluations that the controller was told.
            pending: candidates that were in flight when the search stopped; they are evaluated
                first.
        """
        count = len(told)
        in_flight: dict[str, Candidate] = {}
        seen = self._seen([*(one.candidate for one in told), *pending])
        reached = {one.key: one.rung for rung in sorted(seen) for one in seen[rung]}
        for candidate in pending:
            self._submit(candidate, in_flight, reached.get(candidate.key, -1) + 1)
        while count < self.budget:
            unasked = self.budget - count - len(in_flight)
            free = min(self.executor.capacity - len(in_flight), unasked)
            for candidate in self.controller.ask(free) if free > 0 else ():
                self._submit(candidate, in_flight)
            if not in_flight:
                self._warn_of_the_end(count)
                return
            evaluation = self._collect()
            if self._goes_on(evaluation, seen):
                # With the state, because the candidate may have been proposed after the last one.
                self.store.commit_state(self._state(in_flight.values()), scores=[evaluation])
                self._submit(in_flight[evaluation.key], in_flight, evaluation.rung + 1)
                continue
            del in_flight[evaluation.key]
            self.controller.tell([evaluation])
            scores = [evaluation] if self.stages.last_rung and evaluation.score else []
            self.store.commit_state(self._state(in_flight.values()), [evaluation], scores)
            self._prune(in_flight.values())
            count += 1
            self._evaluated(evaluation)
            if count % self.population_size == 0:
                self._generation_ended(count // self.population_size - 1)

    def score_front_again(self) -> None:
        """Score the members of the front with fresh seeds, until no member lacks such scores.

        Scores that are stored already are not evaluated again.
        """
        count = self.fresh_scores
        while True:
            stored = self.store.fresh_scores()
            evaluations = self.store.evaluations()
            _, missing = with_fresh_scores(evaluations, stored, self.problem, count)
            if not missing:
                return
            trainings = [
                self.stages.repeated(member.candidate, repeat)
                for member in missing
                for repeat in range(1, count + 1)
                if repeat not in stored.get(member.key, ())
            ]
            _log.info("scoring %d networks of the front again", len(missing))
            for training in trainings:
                self.executor.submit(training)
            for _ in trainings:
                ended = self.executor.collect()
                self.store.add_score(_plain(ended), ended.candidate.plan.repeat)
                if isinstance(ended.outcome, Failure):
                    number, last = ended.candidate.number, AttemptOutcome.INFEASIBLE
                    self.store.add_failure(
                        FailedAttempt(number, ended.key, ended.attempts, ended.outcome, last)
                    )

    def _warn_of_the_end(self, count: int) -> None:
        _log.warning(
            "the controller found no other network within the limits: the search ends with %d of"
            " %d candidates",
            count,
            self.budget,
        )

    def _run_rungs(
        self, candidates: Sequence[Candidate], finished: dict[str, Evaluation]
    ) -> dict[str, Evaluation]:
        """Train candidates from rung to rung, the best of them to the end.

        Each evaluation is stored when it is known to be the candidate's last.

        Args:
            candidates: the candidates.
            finished: evaluations of candidates that were stored before the search was interrupted.

        Returns:
            The last evaluation of each candidate by key.
        """
        last, count = self.stages.last_rung, len(candidates)
        known = self.store.rung_scores(untold=True) if last else {}
        evaluations: dict[str, Evaluation] = {}
        for rung in range(last + 1):
            ended = dict(self._known(candidates, rung, finished, known))
            if rung == last:  # the search may have stopped before they were stored as the last ones
                for evaluation in ended.values():
                    self._finish(evaluation, finished)
            for candidate in candidates:
                if candidate.key not in ended:
                    self.executor.submit(self.stages.planned(candidate, rung))
            for _ in range(len(candidates) - len(ended)):
                evaluation = self._collect()
                ended[evaluation.key] = evaluation
                if evaluation.score and last:
                    self.store.add_score(evaluation)
                if rung == last or evaluation.score is None:
                    self._finish(evaluation, finished)
            evaluations |= ended
            scored = [ended[one.key] for one in candidates if ended[one.key].score]
            if rung < last:
                places = self.stages.places(rung, count)
                chosen = {one.key for one in survivors(scored, places, self.problem)}
                for evaluation in scored:
                    if evaluation.key not in chosen:
                        self._finish(evaluation, finished)
                candidates = [one for one in candidates if one.key in chosen]
        return evaluations

    def _known(
        self,
        candidates: Sequence[Candidate],
        rung: int,
        finished: dict[str, Evaluation],
        known: dict[tuple[str, int], Score],
    ) -> Iterator[tuple[str, Evaluation]]:
        """Yield the evaluations at a rung that were stored before the search was interrupted."""
        for candidate in candidates:
            before = finished.get(candidate.key)
            if before is not None and before.rung == rung:
                yield candidate.key, before
            elif score := known.get((candidate.key, rung)):
                yield candidate.key, Evaluation(candidate, score, rung=rung)

    def _finish(self, evaluation: Evaluation, finished: dict[str, Evaluation]) -> None:
        """Store the last evaluation of a candidate and show it, unless that was done before."""
        before = finished.get(evaluation.key)
        if before is not None and before.rung == evaluation.rung:
            return
        self.store.add(evaluation)
        self._evaluated(evaluation)

    def _seen(self, candidates: Iterable[Candidate]) -> defaultdict[int, list[Evaluation]]:
        """Return the evaluations that each rung but the last has seen."""
        by_key = {one.key: one for one in candidates}
        seen: defaultdict[int, list[Evaluation]] = defaultdict(list)
        for (key, rung), score in self.store.rung_scores().items():
            if rung < self.stages.last_rung and key in by_key:
                seen[rung].append(Evaluation(by_key[key], score, rung=rung))
        return seen

    def _goes_on(self, evaluation: Evaluation, seen: dict[int, list[Evaluation]]) -> bool:
        rung = evaluation.rung
        if evaluation.score is None or rung == self.stages.last_rung:
            return False
        seen[rung].append(evaluation)
        share = self.stages.share(rung)
        return goes_on(evaluation, seen[rung], share, self.problem)

    def _submit(self, candidate: Candidate, in_flight: dict[str, Candidate], rung: int = 0) -> None:
        self.executor.submit(self.stages.planned(candidate, rung))
        in_flight[candidate.key] = candidate

    def _collect(self) -> Evaluation:
        """Return the next evaluation that ends; its weights are written by now."""
        ended = self.executor.collect()
        evaluation = _plain(ended)
        self.stages.save(evaluation)
        return replace(evaluation, weights=None)

    def _prune(self, in_flight: Iterable[Candidate]) -> None:
        """Delete weights that no candidate in flight needs."""
        self.stages.prune({one.key for one in in_flight})

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


def _plain(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation with its rung, and with the candidate as the controller proposed it."""
    candidate = evaluation.candidate
    return replace(
        evaluation,
        candidate=replace(candidate, plan=TrainingPlan()),
        rung=candidate.plan.rung,
    )
