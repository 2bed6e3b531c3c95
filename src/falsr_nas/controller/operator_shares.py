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
        used = {name: one for name, one in mutations.items() if one[0] > 0}
        total = sum(chance for chance, _ in used.values())
        self.shares = {name: chance / total for name, (chance, _) in used.items()}
        self.success = dict.fromkeys(used, 0.5)
        self._mutations: dict[str, Mutate] = {name: mutate for name, (_, mutate) in used.items()}
        self._adaptive = adaptive

    def pick(self, rng: np.random.Generator) -> tuple[str, Mutate]:
        """Draw a mutation and its name (paper, IV-E: a categorical distribution)."""
        names = list(self.shares)
        name = names[int(rng.choice(len(names), p=list(self.shares.values())))]
        return name, self._mutations[name]

    def learn(self, outcomes: Iterable[tuple[str, bool]]) -> None:
        """Take note of children: the name of their mutation, and whether they were selected."""
        if not self._adaptive:
            return
        for name, selected in outcomes:
            if name not in self.shares:
                continue
            self.success[name] += NEW_WEIGHT * (selected - self.success[name])
            best = max(self.success, key=lambda one: self.success[one])
            most = 1 - LEAST * (len(self.shares) - 1)
            for one, share in self.shares.items():
                self.shares[one] = share + PURSUIT * ((most if one == best else LEAST) - share)
            total = sum(self.shares.values())
            self.shares = {one: share / total for one, share in self.shares.items()}
