"""The mutation of ``controller=reinforced``: a policy given the parent, and its training.

The reward of a child is its gain over its parent: the difference of their PSNR at equal cost. That
is the PSNR minus what the population has at these costs (:class:`EqualCost`), in units of the
population's standard deviation. Costs are parameters and mult-adds, also where a search has other
objectives. A draw that is refused gets a gain of -1, because it is known or exceeds a limit; so do
failures and networks below the minimum PSNR. Of the limits, imagined children see those on
mult-adds and parameters, not that on latency.

The policy learns from two sources:

- *imagined children*: after each generation, the surrogate predicts the gains of thousands of
  children that the policy draws from the population. The surrogate is fitted to all evaluations,
  whatever mutation made the candidates, and so they all teach the policy.
- *real scores* of its own draws. The policy has changed since, so each score is multiplied by a
  clipped importance weight, the ratio of the draw's probability now to that at the time. Candidates
  of other mutations have no such weight, because the probability of drawing them is not known; they
  are used only for the PSNR that is usual at equal cost, and by the surrogate.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.controller.individual import Individual
from falsr_nas.controller.learnt import LearntMutation
from falsr_nas.controller.mutation import Mutant
from falsr_nas.controller.reinforced.policy import (
    QUALITY,
    ChildSampler,
    ConditionalPolicy,
    Context,
    Likelihood,
)
from falsr_nas.controller.settings import ConditionalPolicySettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.encoding import Encoding, FloatArray, Networks
from falsr_nas.space.enumeration import heaviest, lightest
from falsr_nas.space.genome import Genome
from falsr_nas.surrogate.gaussian_process import Surrogate, quadratic_terms
from falsr_nas.surrogate.tables import SurrogateTables

BATCH = 256
"""Imagined children per update."""

MEMORY = 128
"""Real scores, the latest, that are learnt from."""

STEPS = 4
"""Updates by them, each time."""

LARGEST = 3.0
"""Gains, and PSNR at equal cost that the policy sees, are clipped to it."""

REFUSED = -1.0
"""Gain of children that are known, too expensive, failed, or below the minimum PSNR."""


class EqualCost:
    """What a population has at given costs: a quadratic function of their logarithms.

    Args:
        logs: log parameters and log mult-adds (N, 2), about -1..1.
        psnr: PSNR (N,) in dB.
    """

    def __init__(self, logs: FloatArray, psnr: FloatArray) -> None:
        self._low, self._high = logs.min(axis=0), logs.max(axis=0)
        terms = self._terms(logs)
        # A slight pull to zero, but not of the mean, where costs hardly differ.
        pull = np.diag([0.0] + [1e-3 * len(logs)] * 5)
        self._weights = np.linalg.lstsq(terms.T @ terms + pull, terms.T @ psnr, rcond=None)[0]
        self._unit = max(float((psnr - terms @ self._weights).std()), 1e-3)

    def quality(self, logs: FloatArray, psnr: FloatArray) -> FloatArray:
        """Return the PSNR at equal cost (B,), in standard deviations of the population's."""
        return np.asarray((psnr - self._terms(logs) @ self._weights) / self._unit)

    def _terms(self, logs: FloatArray) -> FloatArray:
        return quadratic_terms(np.clip(logs, self._low, self._high))


class ScoredDraw(NamedTuple):
    """A draw that became a candidate or was refused.

    Attributes:
        parent: what it was drawn from.
        child: what was drawn.
        log_prob: natural logarithm of the probability of the draw.
        psnr: the child's score in dB; None if it has none, or was refused.
    """

    parent: Genome
    child: Genome
    log_prob: float
    psnr: float | None = None


class ConditionalMutation(LearntMutation[ConditionalPolicy, ConditionalPolicySettings, ScoredDraw]):
    """Draws children of a parent from a policy, and trains it.

    Args:
        settings: of the policy and its training.
        problem: of the search.
        every: number of evaluations after which it is trained on imagined children.
        rng: draws the policy's initial weights.
    """

    def __init__(
        self,
        settings: ConditionalPolicySettings,
        problem: Problem,
        every: int,
        rng: np.random.Generator,
    ) -> None:
        space, constraints = problem.space, problem.constraints
        self.encoding = Encoding(space)
        super().__init__(settings, ConditionalPolicy(settings, self.encoding, rng))
        bounds = [genome_cost(lightest(space)), genome_cost(heaviest(space))]
        ends = np.log([[cost.params, cost.mult_adds] for cost in bounds])
        self._middle, self._half = ends.mean(axis=0), np.maximum(np.diff(ends, axis=0)[0] / 2, 1e-9)
        most = constraints.max_params, constraints.max_mult_adds
        units = np.array([1e3, 1e9])  # K parameters and G mult-adds
        self._most = units * [np.inf if limit is None else limit for limit in most]
        self._least = units * [0, constraints.min_mult_adds or 0]
        self._min_psnr = constraints.min_psnr
        self._sampler: ChildSampler | None = None  # None after an update
        self._tables: SurrogateTables | None = None
        self._usual: EqualCost | None = None
        self._scores: dict[str, float] = {}  # PSNR by key, of the population
        self._known: set[bytes] = set()  # networks that were evaluated
        self._lessons: deque[ScoredDraw] = deque(maxlen=MEMORY)
        self._every, self._told = every, 0  # evaluations since imagined children
        self._new = 0  # lessons since the last update
        self._contexts: dict[str, Context] = {}  # of parents since the last call of look()

    def mutate(self, genome: Genome, rng: np.random.Generator) -> Mutant:
        """Draw a child of a genome."""
        if self._sampler is None:
            self._sampler = ChildSampler(self.policy)
        if (context := self._contexts.get(genome.key)) is None:
            context = self._contexts[genome.key] = self._context([genome])
        children, log_probs = self._sampler.sample(context, rng)
        child, log_prob = self.encoding.decode(children, 0), float(log_probs[0])
        # If a network is drawn twice, the first draw is the one that becomes a candidate.
        self._draws.setdefault(child.key, ScoredDraw(genome, child, log_prob))
        return Mutant(child, log_prob)

    def asked(self, candidates: Sequence[Candidate], refuses: Callable[[Genome], bool]) -> None:
        """Note which draws since the last call became candidates, and which were refused.

        Of the latter no more are kept than of the former, but at least one, so that they do not
        displace the scores.
        """
        made, others = self.taken(candidates)
        refused = (draw for draw in others if refuses(draw.child))
        self._lessons += itertools.islice(refused, max(1, made))

    def learn(
        self,
        evaluations: Sequence[Evaluation],
        population: Sequence[Individual],
        surrogate: Surrogate | None,
        rng: np.random.Generator,
    ) -> None:
        """Learn from the scores of its draws, then from imagined children.

        Args:
            evaluations: new evaluations.
            population: the population with them.
            surrogate: fitted to all scores; None where there is none.
            rng: draws the imagined children.
        """
        for evaluation in evaluations:
            lesson = self._pending.pop(evaluation.key, None)
            if lesson is not None:
                psnr = evaluation.score.psnr if evaluation.score else None
                self._lessons.append(lesson._replace(psnr=psnr))
                self._new += 1
        self._remember(evaluations)
        self.look(population, surrogate)
        if self._usual is None:
            return
        if self._new >= self.settings.batch_size:
            self._new = 0
            self._learn_from_scores()
        self._told += len(evaluations)
        if self._told >= self._every:
            self._told = 0
            self._imagine(population, rng)

    def look(self, population: Sequence[Individual], surrogate: Surrogate | None) -> None:
        """Take note of the population and of the surrogate, by which draws are made from now on."""
        self._contexts.clear()
        psnr = np.array([-individual.fitness.values[0] for individual in population])
        keys = (individual.evaluation.key for individual in population)
        self._scores = dict(zip(keys, psnr.tolist(), strict=True))
        self._tables = None if surrogate is None else SurrogateTables(surrogate, self.encoding)
        self._usual = None
        if len(population) > 1:
            candidates = [individual.evaluation.candidate for individual in population]
            costs = np.array([(found.cost.params, found.cost.mult_adds) for found in candidates])
            self._usual = EqualCost(self._logs(costs), psnr)

    def state(self) -> dict[str, Any]:
        """Return weights, optimiser and lessons as JSON."""
        return {
            **super().state(),
            "lessons": [_to_json(draw) for draw in self._lessons],
            "pending": {key: _to_json(draw) for key, draw in self._pending.items()},
            "new": self._new,
            "told": self._told,
        }

    def restore(self, state: Mapping[str, Any], told: Sequence[Evaluation]) -> None:
        """Continue from :meth:`state`, after these evaluations; :meth:`look` comes after it."""
        super().restore(state, told)
        self._lessons = deque(map(_from_json, state["lessons"]), maxlen=MEMORY)
        self._pending = {key: _from_json(draw) for key, draw in state["pending"].items()}
        self._new, self._told = state["new"], state["told"]
        self._sampler = None
        self._known.clear()
        self._remember(told)

    def _remember(self, evaluations: Sequence[Evaluation]) -> None:
        if evaluations:
            genomes = [evaluation.candidate.genome for evaluation in evaluations]
            self._known.update(self.encoding.encode(genomes).rows())

    def _logs(self, costs: FloatArray) -> FloatArray:
        return np.asarray((np.log(costs) - self._middle) / self._half)

    def _context(self, parents: Sequence[Genome]) -> Context:
        genes = self.encoding.encode(parents)
        costs = self.encoding.costs(genes)
        if self._tables is not None:
            psnr = self._tables.mean(genes, costs)
        else:
            psnr = np.array([self._scores.get(parent.key, math.nan) for parent in parents])
        share = 2 * genes.links.mean(axis=1) - 1
        quality = self._quality(costs, psnr)
        return Context(genes, np.column_stack([self._logs(costs), quality, share]))

    def _quality(self, costs: FloatArray, psnr: FloatArray) -> FloatArray:
        """Return the PSNR at equal cost (B,), clipped; 0 where the PSNR, NaN, is not known."""
        if self._usual is None:
            return np.zeros(len(psnr))
        quality = np.nan_to_num(self._usual.quality(self._logs(costs), psnr))
        return np.clip(quality, -LARGEST, LARGEST)

    def _imagine(self, population: Sequence[Individual], rng: np.random.Generator) -> None:
        """Train the policy by children of the population, as the surrogate predicts them."""
        if self._tables is None:
            return
        context = self._context([individual.genome for individual in population])
        for done in range(0, self.settings.imagined, BATCH):
            count = min(BATCH, self.settings.imagined - done)
            some = context[rng.integers(len(population), size=count)]
            children, _ = ChildSampler(self.policy).sample(some, rng)
            self._update(some, children, self.imagined_gains(some, children))

    def imagined_gains(self, context: Context, children: Networks) -> FloatArray:
        """Return the gains (B,) of children as the surrogate predicts them."""
        assert self._tables is not None
        costs = self.encoding.costs(children)
        psnr = self._tables.mean(children, costs)
        refused = np.array([row in self._known for row in children.rows()])
        refused |= ((costs < self._least) | (costs > self._most)).any(axis=1)
        refused |= children.same_as(context.parents)
        return self._gains(context, costs, np.where(refused, np.nan, psnr))

    def _learn_from_scores(self) -> None:
        """Take a few steps along importance-weighted gradients of the latest real draws."""
        lessons = list(self._lessons)
        children = self.encoding.encode([lesson.child for lesson in lessons])
        context = self._context([lesson.parent for lesson in lessons])
        psnr = np.array([lesson.psnr for lesson in lessons], dtype=np.float64)  # None to NaN
        gains = self._gains(context, self.encoding.costs(children), psnr)
        then = torch.tensor([lesson.log_prob for lesson in lessons])
        for _ in range(STEPS):
            self._update(context, children, gains, then)

    def _gains(self, context: Context, costs: FloatArray, psnr: FloatArray) -> FloatArray:
        """Return the gains (B,) of children with these costs (B, 2); NaN for a PSNR is refusal."""
        gains = self._quality(costs, psnr) - context.numbers[:, QUALITY]
        least = -np.inf if self._min_psnr is None else self._min_psnr
        return np.where(psnr >= least, np.clip(gains, -LARGEST, LARGEST), REFUSED)

    def _update(
        self, context: Context, children: Networks, gains: FloatArray, then: Tensor | None = None
    ) -> None:
        """Take one step; ``then`` are the log-probabilities of the draws at their time."""
        likelihood = self.policy(context, children)
        wanted, settings = torch.from_numpy(gains).float(), self.settings
        self.step(policy_loss(likelihood, wanted, then, settings.max_weight, settings.divergence))
        self._sampler = None


def policy_loss(
    likelihood: Likelihood,
    gains: Tensor,
    then: Tensor | None,
    max_weight: float,
    divergence: float,
) -> Tensor:
    """Return the loss of the policy and of its baseline, averaged over draws (B,).

    The gradient of the policy is that of REINFORCE with importance weights, at most ``max_weight``.

    Args:
        likelihood: of the draws, by the policy as it is.
        gains: their gains.
        then: their log-probabilities when they were drawn; None for weights of 1.
        max_weight: upper bound of the weights.
        divergence: weight of the divergence from the policy at the start.
    """
    weights = torch.ones_like(gains)
    if then is not None:
        weights = (likelihood.log_prob.detach() - then).exp().clamp(max=max_weight)
    error = gains - likelihood.value
    gain = weights * error.detach() * likelihood.log_prob
    return (0.5 * weights * error**2 - gain + divergence * likelihood.divergence).mean()


def _to_json(lesson: ScoredDraw) -> list[Any]:
    return [str(lesson.parent), str(lesson.child), *lesson[2:]]


def _from_json(values: Sequence[Any]) -> ScoredDraw:
    parent, child, *others = values
    return ScoredDraw(Genome.parse(parent), Genome.parse(child), *others)
