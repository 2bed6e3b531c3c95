"""The policy network of the reinforced mutation and its REINFORCE loss (paper, IV-E2).

From the paper: a categorical distribution for each cell, a network with three fully connected
layers for the links (Fig. 2), and the gradient (Eq. 6). Our choices: all sizes, the initialization
and the entropy bonus.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from falsr_nas.controller.settings import PolicySettings

LAYERS = 3
"""Fully connected layers, as in the paper."""


class Policy(nn.Module):
    """Distribution of the cells, of the links given the cells, and of the ends.

    At the start the distribution is uniform: the cell logits and the last layer are zero, so every
    link has probability 1/2 (our choice).

    Attributes:
        cell_logits: logits (n, |S|) of the cells, the paper's theta_mic. The cells are independent.
        embedding: embeddings (|S|, embedding) of the cells. Together with the layers they are the
            paper's theta_mac: the embeddings of a network's n cells are concatenated and pass three
            fully connected layers, which return the logits of its n(n+1)/2 links.
        end_logits: logits (|E|,) of the pairs of ends, independent of all else (our choice; the
            paper has one pair). None where there is only one.

    Args:
        settings: sizes of the embeddings and layers.
        n: number of cells.
        choices: number of different cells, |S|.
        bits: number of links, n(n+1)/2.
        rng: draws the initial weights; PyTorch's global generator is not used.
        ends: number of pairs of ends, |E|.
    """

    def __init__(
        self,
        settings: PolicySettings,
        n: int,
        choices: int,
        bits: int,
        rng: np.random.Generator,
        *,
        ends: int = 1,
    ) -> None:
        super().__init__()
        self.cell_logits = nn.Parameter(torch.zeros(n, choices))
        self.embedding = nn.Parameter(_tensor(rng.normal(size=(choices, settings.embedding))))
        sizes = [n * settings.embedding, *[settings.hidden] * (LAYERS - 1), bits]
        # He's uniform initialization; the last layer starts at zero.
        bounds = [math.sqrt(6 / inputs) for inputs in sizes[:-2]] + [0.0]
        self.weights = nn.ParameterList(
            _tensor(rng.uniform(-bound, bound, size=(outputs, inputs)))
            for inputs, outputs, bound in zip(sizes, sizes[1:], bounds, strict=False)
        )
        self.biases = nn.ParameterList(torch.zeros(outputs) for outputs in sizes[1:])
        self.end_logits = nn.Parameter(torch.zeros(ends)) if ends > 1 else None

    def link_logits(self, cells: Tensor) -> Tensor:
        """Return the logits of the links (B, n(n+1)/2), given the indices of the cells (B, n)."""
        x = self.embedding[cells].flatten(1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = F.linear(x if layer == 0 else F.relu(x), weight, bias)
        return x

    def log_probs(self, cells: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each cell (B, n) and of each link's value (B, n(n+1)/2).

        Logarithms are natural.

        Args:
            cells: indices (B, n), int64.
            links: values 0 or 1 (B, n(n+1)/2), float32.
        """
        table = self.cell_logits.log_softmax(1)
        chosen = table[torch.arange(len(table)), cells]
        return chosen, -F.binary_cross_entropy_with_logits(
            self.link_logits(cells), links, reduction="none"
        )

    def log_prob_of_ends(self, ends: Tensor) -> Tensor:
        """Return the log-probability of each pair of ends.

        Args:
            ends: indices (B, 1), int64, or (B, 0) where there is only one pair.

        Returns:
            Of the same shape.
        """
        if self.end_logits is None:
            return torch.zeros(ends.shape)
        return self.end_logits.log_softmax(0)[ends]

    def entropy(self, cells: Tensor) -> Tensor:
        """Return the mean entropy of a gene in nats, a scalar.

        Args:
            cells: indices (B, n). The links depend on them; their entropy is averaged over B.
        """
        table = self.cell_logits.log_softmax(1)
        logits = self.link_logits(cells)
        of_links = F.softplus(logits) - logits * logits.sigmoid()
        of_cells = -(table.exp() * table).sum(1)
        total, genes = of_cells.sum() + of_links.sum(1).mean(), len(table) + logits.shape[1]
        if self.end_logits is not None:
            of_ends = self.end_logits.log_softmax(0)
            total, genes = total - (of_ends.exp() * of_ends).sum(), genes + 1
        return total / genes


def returns(reward: Tensor, steps: int, gamma: float) -> Tensor:
    """Return the discounted returns (B, steps) of rewards (B,) that follow the last step.

    The return of step t is gamma^(steps - 1 - t) times the reward.
    """
    powers = torch.arange(steps - 1, -1, -1, dtype=reward.dtype)
    return reward[:, None] * gamma**powers


def reinforce_loss(
    policy: Policy,
    cells: Tensor,
    links: Tensor,
    *,
    drawn: Tensor,
    advantage: Tensor,
    gamma: float = 1.0,
    ends: Tensor | None = None,
) -> Tensor:
    """Return the loss whose gradient is Eq. 6, averaged over the batch.

    Cells and links are two sequences of actions, each with its own discounted returns, as in the
    paper; the ends are a sequence of one action. Genes that the policy did not draw add nothing to
    the sum (our choice: the paper's policy draws all genes).

    Args:
        policy: the policy.
        cells: indices (B, n), int64.
        links: values 0 or 1 (B, n(n+1)/2), float32.
        drawn: mask (B, n + n(n+1)/2), cells first: 1 for genes that the policy drew, else 0. With
            ``ends`` one more at the end.
        advantage: rewards minus their baseline (B,).
        gamma: discount factor.
        ends: indices (B, 1) of the ends, int64; None or (B, 0) where there is only one pair.
    """
    of_cells, of_links = policy.log_probs(cells, links)
    n = cells.shape[1]
    terms = [
        of_cells * returns(advantage, n, gamma),
        of_links * returns(advantage, links.shape[1], gamma),
    ]
    if ends is not None:
        terms.append(policy.log_prob_of_ends(ends) * advantage[:, None])
    return -(torch.cat(terms, 1) * drawn).sum(1).mean()


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
