"""Shares of the mutations that follow their success: adaptive pursuit (Thierens, 2005)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from falsr_nas.controller.mutation import Mutate, Mutations

LEAST = 0.05
"""Share of the least successful mutation, so that its success stays known."""

NEW_WEIGHT = 0.05
"""Weight of a new outcome in the moving average of a mutation's success."""

PURSUIT = 0.02
"""Step of the shares, after each outcome, towards the most successful mutation."""


class OperatorShares:
    """Draws mutations by shares, which may follow success.

    Args:
        mutations: mutations by name with their shares at the start. Those of share 0 stay at 0.
        adaptive: whether the shares follow success.

    Attributes:
        shares: probability of each mutation, by name.
        success: moving average of each mutation's success, in 0..1.
    """

    def __init__(self, mutations: Mutations, adaptive: bool) -> None:
        chances = {name: chance for name, (chance, _) in mutations.items() if chance > 0}
        self.shares = _normalised(chances)
        self.success = dict.fromkeys(chances, 0.5)
        self._mutations = mutations
        self._adaptive = adaptive

    def pick(self, rng: np.random.Generator) -> tuple[str, Mutate]:
        """Draw a mutation and its name (paper, IV-E: a categorical distribution)."""
        names = list(self.shares)
        name = names[int(rng.choice(len(names), p=list(self.shares.values())))]
        return name, self._mutations[name][1]

    def learn(self, outcomes: Iterable[tuple[str, bool]]) -> None:
        """Take note of children: the name of their mutation, and whether they were selected."""
        if not self._adaptive:
            return
        for name, selected in outcomes:
            if name not in self.shares:
                continue
            self.success[name] += NEW_WEIGHT * (selected - self.success[name])
            wanted = dict.fromkeys(self.shares, LEAST)
            wanted[max(self.success, key=self.success.__getitem__)] = 1 - LEAST * (len(wanted) - 1)
            self.shares = _normalised(
                {other: s + PURSUIT * (wanted[other] - s) for other, s in self.shares.items()}
            )


def _normalised(shares: dict[str, float]) -> dict[str, float]:
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}
