"""A policy that changes a parent's genes: attributes of cells, then links, and ends (our choice).

The paper's policy (:mod:`falsr_nas.controller.policy`) has one distribution of whole cells for each
place. This one is a distribution of children given their parent. At the start each gene is kept
with a high probability, so that about one attribute and one link change; the policy learns which
ones should change, and to what.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from falsr_nas.controller.settings import ConditionalPolicySettings
from falsr_nas.space.encoding import ATTRIBUTES, NONE, Encoding, FloatArray, IntArray, Networks

RESIDUAL = len(ATTRIBUTES) - 1
"""Column of the residual among the attributes, the last."""


@dataclass(frozen=True)
class Context:
    """What children are drawn from, one row each.

    Attributes:
        parents: the parents.
        numbers: what is known of them beside their genes (B, 4), about -1..1: log parameters and
            log mult-adds between those of the space's lightest and heaviest network, PSNR at equal
            cost in standard deviations of the population's, and share of links.
    """

    parents: Networks
    numbers: FloatArray

    def __getitem__(self, rows: IntArray) -> Context:
        return Context(self.parents[rows], self.numbers[rows])


NUMBERS = 4
"""Columns of :attr:`Context.numbers`."""

QUALITY = 2
"""The column with the PSNR at equal cost."""


class Likelihood(NamedTuple):
    """What the policy says of children, one row each.

    Attributes:
        log_prob: natural logarithm of the probability of the child given its parent (B,).
        divergence: Kullback-Leibler divergence (B,) of the distributions of its genes, each given
            the genes drawn before it, from those at the start, in nats.
        value: expected gain (B,) of children of this parent: the baseline.
    """

    log_prob: Tensor
    divergence: Tensor
    value: Tensor


class ConditionalPolicy(nn.Module):
    """Distribution of a child given its parent.

    A hidden layer for each place sees the place, the parent's cells there and on both sides, and
    the context's numbers. The attributes of the new cell are drawn one after another from its
    outputs and from the attributes drawn before (a table for each pair). Links are drawn given all
    new cells, the parent's links and the numbers, by two layers; ends given the parent's. A weight
    for each kind of gene adds to the logit of the parent's own value.

    Args:
        settings: ``hidden`` is used.
        encoding: of the search space.
        rng: draws the initial weights; PyTorch's global generator is not used.
    """

    def __init__(
        self, settings: ConditionalPolicySettings, encoding: Encoding, rng: np.random.Generator
    ) -> None:
        super().__init__()
        space, sizes, hidden = encoding.space, encoding.sizes, settings.hidden
        n, self._bits, self._pairs = space.n, space.bits, len(space.ends)
        self.encoding, self._n = encoding, n
        width = sum(sizes)
        first = np.cumsum([0, *sizes])
        self.blocks = [slice(int(a), int(b)) for a, b in itertools.pairwise(first)]
        self.kind = torch.tensor([a for a, size in enumerate(sizes) for _ in range(size)])
        self.single = torch.tensor([repeats == 1 for repeats in space.repeats])
        self._has_residual = torch.from_numpy(encoding.attributes[:, RESIDUAL] != NONE)
        one_hot = torch.zeros(len(encoding.attributes), width)
        for a, block in enumerate(self.blocks):
            rows = np.flatnonzero(encoding.attributes[:, a] != NONE)
            one_hot[rows, block.start + encoding.attributes[rows, a]] = 1
        self.one_hot = one_hot
        self._columns = torch.from_numpy(np.maximum(encoding.attributes, 0) + first[:-1])
        self.earlier = (self.kind[:, None] < self.kind[None]).float()

        def drawn(*shape: int, inputs: int) -> nn.Parameter:
            bound = math.sqrt(6 / inputs)  # He's uniform initialization
            values = rng.uniform(-bound, bound, size=shape).astype(np.float32)
            return nn.Parameter(torch.from_numpy(values))

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape))

        # Each place has three cells, of which each has one value of each attribute.
        active = 3 * len(sizes) + NUMBERS + 1
        self.place = drawn(n, hidden, inputs=active)
        self.cells = drawn(3, width, hidden, inputs=active)
        self.numbers = drawn(NUMBERS, hidden, inputs=active)
        self.scores, self.bias, self.after = (
            zeros(hidden, width),
            zeros(n, width),
            zeros(width, width),
        )
        active = n * len(sizes) + self._bits + NUMBERS
        self.links_in = drawn(n * width + self._bits + NUMBERS, hidden, inputs=active)
        self.links_out, self.links_bias = zeros(hidden, self._bits), zeros(self._bits)
        self.ends = zeros(NUMBERS + 1, self._pairs)
        self.value = zeros(hidden + NUMBERS + 1)
        change = 1 / (n * max(1, sum(size > 1 for size in sizes)))
        keep = [_keeping(size, change) for size in sizes]
        self.keep = nn.Parameter(torch.tensor(keep))
        self.keep_links = nn.Parameter(torch.tensor(_keeping(2, 1 / self._bits)))
        self.keep_ends = nn.Parameter(torch.tensor(_keeping(self._pairs, 1 / n)))
        own = one_hot * torch.tensor(keep)[self.kind]
        self._start = self._log_softmax(own)  # (|S|, A), given the parent's cell
        self._start_links = float(self.keep_links.detach())
        self._start_ends = float(self.keep_ends.detach())

    def forward(self, context: Context, children: Networks) -> Likelihood:
        """Return what the policy says of children of these parents."""
        numbers = _tensor(context.numbers)
        parents, cells = torch.from_numpy(context.parents.cells), torch.from_numpy(children.cells)
        scores, hidden = self._places(parents, numbers)
        scores = scores + (self.one_hot @ (self.after * self.earlier))[cells]
        logs = self._log_softmax(scores)
        drawn = torch.ones(*cells.shape, len(self.blocks))
        drawn[..., RESIDUAL] = self._has_residual[cells].float()
        log_prob = (logs.gather(-1, self._columns[cells]) * drawn).sum((1, 2))
        away = logs.exp() * (logs - self._start[parents]) * drawn[..., self.kind]
        divergence = away.sum((1, 2))

        logits = self._link_logits(cells, context, numbers)
        links, kept = _tensor(children.links), 2 * _tensor(context.parents.links) - 1
        log_prob = log_prob - F.binary_cross_entropy_with_logits(
            logits, links, reduction="none"
        ).sum(1)
        start = self._start_links * kept
        away = logits.sigmoid() * (logits - start) - F.softplus(logits) + F.softplus(start)
        divergence = divergence + away.sum(1)

        of_ends = self._end_logits(context, numbers).log_softmax(-1)
        own = F.one_hot(torch.from_numpy(context.parents.ends), self._pairs).float()
        start = (self._start_ends * own).log_softmax(-1)
        log_prob = log_prob + of_ends.gather(-1, torch.from_numpy(children.ends)[:, None])[:, 0]
        divergence = divergence + (of_ends.exp() * (of_ends - start)).sum(1)
        seen = torch.cat([hidden.mean(1), numbers, torch.ones(len(numbers), 1)], 1)
        return Likelihood(log_prob, divergence, seen @ self.value)

    def _places(self, parents: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of all attributes' values (B, n, A), and the hidden layer (B, n, H)."""
        own, left, right = self.one_hot @ self.cells  # (|S|, H) each
        before, after = (
            F.pad(left[parents[:, :-1]], (0, 0, 1, 0)),
            F.pad(right[parents[:, 1:]], (0, 0, 0, 1)),
        )
        hidden = F.relu(
            self.place + own[parents] + before + after + (numbers @ self.numbers)[:, None]
        )
        kept = (self.one_hot * self.keep[self.kind])[parents]
        return hidden @ self.scores + self.bias + kept, hidden

    def _link_logits(self, cells: Tensor, context: Context, numbers: Tensor) -> Tensor:
        parents = _tensor(context.parents.links)
        seen = torch.cat([self.one_hot[cells].flatten(1), parents, numbers], 1)
        logits = F.relu(seen @ self.links_in) @ self.links_out
        return logits + self.links_bias + self.keep_links * (2 * parents - 1)

    def _end_logits(self, context: Context, numbers: Tensor) -> Tensor:
        own = F.one_hot(torch.from_numpy(context.parents.ends), self._pairs).float()
        seen = torch.cat([numbers, torch.ones(len(numbers), 1)], 1)
        return seen @ self.ends + self.keep_ends * own

    def _log_softmax(self, scores: Tensor) -> Tensor:
        return torch.cat([scores[..., block].log_softmax(-1) for block in self.blocks], -1)


class ChildSampler:
    """Draws children from a policy as it is at this moment.

    NumPy computes what :class:`ConditionalPolicy` does: with few children it is much faster.

    Args:
        policy: the policy; it must not change while this is used.
    """

    def __init__(self, policy: ConditionalPolicy) -> None:
        self._weights = {
            name: weight.detach().numpy() for name, weight in policy.named_parameters()
        }
        self._policy, one_hot = policy, policy.one_hot.numpy()
        self._own, self._left, self._right = one_hot @ self._weights["cells"]
        self._kept = one_hot * self._weights["keep"][policy.kind.numpy()]
        self._after = self._weights["after"] * policy.earlier.numpy()

    def sample(self, context: Context, rng: np.random.Generator) -> tuple[Networks, FloatArray]:
        """Draw a child of each parent.

        Returns:
            The children, and the natural logarithms of their probabilities (B,).
        """
        numbers = context.numbers.astype(np.float32)
        cells, of_cells = self._cells(context.parents, numbers, rng)
        links, of_links = self._links(cells, context.parents, numbers, rng)
        ends, of_ends = self._ends(context.parents, numbers, rng)
        children = replace(context.parents, cells=cells, links=links, ends=ends)
        return children, of_cells + of_links + of_ends

    def _cells(
        self, parents: Networks, numbers: np.ndarray, rng: np.random.Generator
    ) -> tuple[IntArray, FloatArray]:
        weights, policy, cells = self._weights, self._policy, parents.cells
        hidden = weights["place"] + self._own[cells] + (numbers @ weights["numbers"])[:, None]
        hidden[:, 1:] += self._left[cells[:, :-1]]
        hidden[:, :-1] += self._right[cells[:, 1:]]
        scores = np.maximum(hidden, 0) @ weights["scores"] + weights["bias"] + self._kept[cells]
        attributes = np.empty((*cells.shape, len(policy.blocks)), dtype=np.int64)
        log_prob = np.zeros(len(cells))
        for a, block in enumerate(policy.blocks):
            attributes[..., a], logs = _drawn(scores[..., block], rng)
            if a == RESIDUAL:
                single = policy.single.numpy()[attributes[..., a - 1]]
                attributes[single, a] = NONE
                logs[single] = 0
            else:
                scores = scores + self._after[block.start + attributes[..., a]]
            log_prob += logs.sum(axis=1)
        return policy.encoding.cell_of(attributes), log_prob

    def _links(
        self, cells: IntArray, parents: Networks, numbers: np.ndarray, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], FloatArray]:
        weights, links = self._weights, parents.links.astype(np.float32)
        one_hot = self._policy.one_hot.numpy()[cells].reshape(len(cells), -1)
        seen = np.hstack([one_hot, links, numbers])
        logits = np.maximum(seen @ weights["links_in"], 0) @ weights["links_out"]
        logits += weights["links_bias"] + weights["keep_links"] * (2 * links - 1)
        chance = 1 / (1 + np.exp(-logits.astype(np.float64)))
        drawn = rng.random(logits.shape) < chance
        return drawn, np.log(np.where(drawn, chance, 1 - chance)).sum(axis=1)

    def _ends(
        self, parents: Networks, numbers: np.ndarray, rng: np.random.Generator
    ) -> tuple[IntArray, FloatArray]:
        weights = self._weights["ends"]
        if weights.shape[1] == 1:
            return parents.ends, np.zeros(len(numbers))
        scores = numbers @ weights[:-1] + weights[-1]
        scores[np.arange(len(scores)), parents.ends] += self._weights["keep_ends"]
        return _drawn(scores, rng)


def _drawn(scores: np.ndarray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Draw indices (...) by logits (..., K); return them with their log-probabilities."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True), dtype=np.float64)
    below = powers.cumsum(axis=-1)
    total = below[..., -1]
    index = (below[..., :-1] <= (rng.random(total.shape) * total)[..., None]).sum(axis=-1)
    taken = powers.reshape(-1, powers.shape[-1])[np.arange(total.size), index.ravel()]
    return index, np.log(taken.reshape(total.shape) / total)


def _keeping(choices: int, change: float) -> float:
    """Return the advantage of a logit over ``choices`` - 1 equal others that changes so rarely."""
    change = min(change, 0.5)
    return math.log((choices - 1) * (1 - change) / change) if choices > 1 else 0.0


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
