"""Rungs: candidates are trained from rung to rung, and only the better ones continue.

The two executors here decorate another one, one for each mode of a search. To the search they look
like any executor: a candidate goes in, its last evaluation comes out. Which candidates continue is
decided by :mod:`falsr_nas.search.halving`. A search without rungs has a single one, at the end of
the training.

What is stored is not trained again when a search is resumed. The score of a rung is stored before
its candidate continues, and the weights are written before the score. The evaluations that come out
are stored by the search.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from falsr_nas.archive.candidate import Candidate, Evaluation, TrainingPlan
from falsr_nas.archive.store import Store
from falsr_nas.archive.weights import WeightsFolder
from falsr_nas.controller.settings import Mode
from falsr_nas.execution.retrying import RetryingExecutor
from falsr_nas.objectives.problem import Problem
from falsr_nas.search.halving import goes_on, survivors
from falsr_nas.training.settings import RungSettings


class RungTrainings:
    """Trains candidates up to a rung, from their weights at the rung before.

    Weights travel with candidates and evaluations, so that all executors are alike; only the
    process of the search reads and writes their files.

    Args:
        executor: runs the trainings.
        weights: folder of the weights between two rungs.
        settings: the rungs.
        epochs: epochs of a whole training.

    Attributes:
        weights: folder of the weights between two rungs.
        settings: the rungs.
        last: the rung at which a training ends that is not stopped before.
        whole: plan of a whole training, through all rungs.
    """

    def __init__(
        self,
        executor: RetryingExecutor,
        weights: WeightsFolder,
        settings: RungSettings,
        epochs: int,
    ) -> None:
        self._executor = executor
        self.weights = weights
        self.settings = settings
        self.last = len(settings.epochs)
        self.whole = TrainingPlan(settings.parts(epochs), self.last)

    @property
    def capacity(self) -> int:
        """Number of trainings that run at once."""
        return self._executor.capacity

    def submit(self, candidate: Candidate, rung: int) -> None:
        """Submit the training of a candidate up to a rung, without waiting for it.

        It continues from the weights of the rung before. Where these are missing, it has all parts
        from the first one on, which gives the same weights again.
        """
        if self.last:
            start = self.weights.load(candidate.key, rung - 1) if rung else None
            parts = self.whole.epochs[rung if start else 0 : rung + 1]
            plan = TrainingPlan(parts, rung, start=start, returns_weights=rung < self.last)
            candidate = replace(candidate, plan=plan)
        self._executor.submit(candidate)

    def collect(self) -> Evaluation:
        """Wait for the next training that ends, and return its evaluation with the rung.

        Its weights are written by then. Raises as :meth:`RetryingExecutor.collect` does.
        """
        ended = self._executor.collect()
        evaluation = ended.settled()
        if ended.weights is not None:
            self.weights.save(evaluation.key, evaluation.rung, ended.weights)
        return evaluation


class _Rungs:
    """Base of the executors with rungs, which also observe the search.

    As observers they learn which weights are not needed any more, and delete them.

    Args:
        trainings: trains candidates up to a rung.
        store: of the search; it holds what was evaluated before the search was interrupted.
        problem: what the search looks for, by which candidates are compared.
    """

    def __init__(self, trainings: RungTrainings, store: Store, problem: Problem) -> None:
        self._trainings = trainings
        self._store = store
        self._problem = problem

    @property
    def capacity(self) -> int:
        """Number of evaluations that run at once."""
        return self._trainings.capacity

    def evaluated(self, evaluation: Evaluation) -> None:
        """Do nothing yet when an evaluation is stored."""

    def generation_ended(self, generation: int) -> None:
        """Do nothing yet when a generation has ended."""


class GenerationalRungs(_Rungs):
    """Compares all candidates of a generation with each other at each rung.

    The candidates that are submitted before the first one is collected are a generation. All of
    them are collected before others are submitted. Those whose evaluation is stored are submitted
    as well: they are not trained again, but the others are compared with them. They may continue
    where the budget of the interrupted search ended within the generation.
    """

    def __init__(self, trainings: RungTrainings, store: Store, problem: Problem) -> None:
        super().__init__(trainings, store, problem)
        self._finished = {
            evaluation.key: evaluation for evaluation in store.evaluations(told=False)
        }
        self._scores = store.rung_scores(untold=True)
        self._generation: list[Candidate] = []
        self._ended: Iterator[Evaluation] = iter(())

    def submit(self, candidate: Candidate) -> None:
        """Add a candidate to the generation."""
        self._generation.append(candidate)

    def collect(self) -> Evaluation:
        """Wait for the next evaluation that is its candidate's last, and return it."""
        if self._generation:
            self._ended = self._train(self._generation)
            self._generation = []
        return next(self._ended)

    def generation_ended(self, generation: int) -> None:
        """Delete all weights: no candidate continues that the controller was told."""
        self._trainings.weights.prune(())

    def _train(self, candidates: Sequence[Candidate]) -> Iterator[Evaluation]:
        """Yield the last evaluation of each candidate when it is known to be the last."""
        all_places = self._trainings.settings.counts(len(candidates))
        for rung, places in enumerate(all_places):
            scored: dict[str, Evaluation] = {}
            for evaluation in self._at_rung(candidates, rung):
                if evaluation.score is None:
                    yield evaluation
                else:
                    scored[evaluation.key] = evaluation
            ordered = [scored[candidate.key] for candidate in candidates if candidate.key in scored]
            chosen = {best.key for best in survivors(ordered, places, self._problem)}
            yield from (stopped for stopped in ordered if stopped.key not in chosen)
            candidates = [candidate for candidate in candidates if candidate.key in chosen]
        yield from self._at_rung(candidates, self._trainings.last)

    def _at_rung(self, candidates: Sequence[Candidate], rung: int) -> Iterator[Evaluation]:
        """Yield the evaluations of candidates at a rung, those that are stored first."""
        stored = {
            candidate.key: evaluation
            for candidate in candidates
            if (evaluation := self._stored(candidate, rung))
        }
        missing = [candidate for candidate in candidates if candidate.key not in stored]
        for candidate in missing:
            self._trainings.submit(candidate, rung)
        yield from stored.values()
        for _ in missing:
            evaluation = self._trainings.collect()
            if evaluation.score and rung < self._trainings.last:
                self._store.add_score(evaluation)
            yield evaluation

    def _stored(self, candidate: Candidate, rung: int) -> Evaluation | None:
        finished = self._finished.get(candidate.key)
        if finished is not None and finished.rung == rung:
            return finished
        score = self._scores.get((candidate.key, rung))
        return None if score is None else Evaluation(candidate, score, rung=rung)


class SteadyRungs(_Rungs):
    """Compares each candidate with those that the rung has seen so far; none waits for others.

    In the store, a score of a rung whose candidate has no evaluation yet says that the candidate
    continues. A candidate that is submitted again after an interruption continues from there.
    """

    def __init__(self, trainings: RungTrainings, store: Store, problem: Problem) -> None:
        super().__init__(trainings, store, problem)
        self._in_flight: set[str] = set()
        self._seen: defaultdict[int, dict[str, Evaluation]] = defaultdict(dict)
        if not trainings.last:
            self._scores = {}
            return
        self._scores = store.rung_scores()
        for evaluation in store.evaluations():
            self._next_rung(evaluation.candidate)
            if evaluation.score:
                self._seen[evaluation.rung][evaluation.key] = evaluation

    def submit(self, candidate: Candidate) -> None:
        """Submit a candidate for evaluation, without waiting for it."""
        self._in_flight.add(candidate.key)
        self._trainings.submit(candidate, self._next_rung(candidate))

    def collect(self) -> Evaluation:
        """Wait for the next evaluation that is its candidate's last, and return it."""
        while True:
            evaluation = self._trainings.collect()
            if not self._goes_on(evaluation):
                self._in_flight.remove(evaluation.key)
                return evaluation
            self._store.add_score(evaluation)
            self._trainings.submit(evaluation.candidate, evaluation.rung + 1)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Delete the weights of candidates whose evaluation is stored."""
        self._trainings.weights.prune(self._in_flight)

    def _next_rung(self, candidate: Candidate) -> int:
        """Return the first rung without a stored score, and note the scores of those before it."""
        rung = 0
        while score := self._scores.get((candidate.key, rung)):
            self._seen[rung][candidate.key] = Evaluation(candidate, score, rung=rung)
            rung += 1
        return rung

    def _goes_on(self, evaluation: Evaluation) -> bool:
        rung, keep = evaluation.rung, self._trainings.settings.keep
        if evaluation.score is None or rung == self._trainings.last:
            return False
        seen = self._seen[rung]
        seen[evaluation.key] = evaluation
        share = keep[rung] / (keep[rung - 1] if rung else 1.0)
        return goes_on(evaluation, [*seen.values()], share, self._problem)


RUNGS: dict[Mode, type[GenerationalRungs] | type[SteadyRungs]] = {
    Mode.generational: GenerationalRungs,
    Mode.steady: SteadyRungs,
}
"""The executor with rungs of each mode."""
