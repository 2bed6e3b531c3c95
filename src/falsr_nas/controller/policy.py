"""The policy of the reinforced mutation: what it is, the probability of what it draws, and its loss (paper, IV-E2, Fig. 2, Eq. 6)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from falsr_nas.controller.settings import PolicySettings

LAYERS = 3


class Policy(nn.Module):
    """Probabilities of the cells, and of the links given the cells.

    It starts uniform: all logits are zero, and so is the last layer, so that every link has one chance in two.

    Attributes:
        cell_logits: theta_mic (n, |S|): a categorical over the operators for each cell, apart from all else.
        embedding: (|S|, embedding): with the layers it is theta_mac. The embeddings of a network's cells, concatenated, pass three
            fully connected layers, whose outputs are the logits of its n(n+1)/2 links.
    """

    def __init__(
        self, settings: PolicySettings, n: int, choices: int, bits: int, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.cell_logits = nn.Parameter(torch.zeros(n, choices))
        self.embedding = nn.Parameter(_tensor(rng.normal(size=(choices, settings.embedding))))
        sizes = [n * settings.embedding, *[settings.hidden] * (LAYERS - 1), bits]
        ends = [math.sqrt(6 / inputs) for inputs in sizes[:-2]] + [
            0.0
        ]  # He's uniform bound; the last layer starts at zero
        self.weights = nn.ParameterList(
            _tensor(rng.uniform(-end, end, size=(outputs, inputs)))
            for inputs, outputs, end in zip(sizes, sizes[1:], ends, strict=False)
        )
        self.biases = nn.ParameterList(torch.zeros(outputs) for outputs in sizes[1:])

    def link_logits(self, cells: Tensor) -> Tensor:
        """Logits of the links (B, n(n+1)/2), given the cells' indices (B, n)."""
        x = self.embedding[cells].flatten(1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = F.linear(x if layer == 0 else F.relu(x), weight, bias)
        return x

    def log_probs(self, cells: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms of the probabilities of each cell (B, n) and of each link's being as it is (B, n(n+1)/2).

        Args:
            cells: indices (B, n).
            links: 0 or 1 (B, n(n+1)/2).
        """
        table = self.cell_logits.log_softmax(1)
        chosen = table[torch.arange(len(table)), cells]
        return chosen, -F.binary_cross_entropy_with_logits(
            self.link_logits(cells), links, reduction="none"
        )

    def entropy(self, cells: Tensor) -> Tensor:
        """Mean entropy of a gene's distribution in nats, of the links given cells (B, n): a scalar."""
        table = self.cell_logits.log_softmax(1)
        logits = self.link_logits(cells)
        of_links = F.softplus(logits) - logits * logits.sigmoid()
        of_cells = -(table.exp() * table).sum(1)
        return (of_cells.sum() + of_links.sum(1).mean()) / (len(table) + logits.shape[1])


def returns(reward: Tensor, steps: int, gamma: float) -> Tensor:
    """Discounted returns (B, steps) of rewards (B,) that come after the last step: gamma^(steps - 1 - t) times the reward."""
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
) -> Tensor:
    """The loss whose gradient is Eq. 6, averaged over the batch.

    Cells and links are two sequences of actions with returns of their own. A gene that the policy did not draw counts for nothing.

    Args:
        policy: the policy.
        cells: indices (B, n).
        links: 0 or 1 (B, n(n+1)/2).
        drawn: 1 for each gene, cells first, that the policy drew, else 0: (B, n + n(n+1)/2).
        advantage: rewards less their baseline (B,).
        gamma: discount.
    """
    of_cells, of_links = policy.log_probs(cells, links)
    n = cells.shape[1]
    terms = torch.cat(
        [
            of_cells * returns(advantage, n, gamma),
            of_links * returns(advantage, links.shape[1], gamma),
        ],
        1,
    )
    return -(terms * drawn).sum(1).mean()


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
