"""The interface of controllers: ask for candidates, tell their evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from falsr_nas.archive.candidate import Candidate, Evaluation


class Controller(Protocol):
    """Proposes candidates and learns from their evaluations.

    The state is a JSON value. A controller that is restored from it proposes the same candidates as
    the saved controller would have.
    """

    @property
    def population_size(self) -> int:
        """Number of candidates per generation."""
        ...

    def ask(self, count: int) -> list[Candidate]:
        """Propose up to ``count`` new candidates; fewer only where no other is found.

        Their networks were not proposed before and meet the limits of the search.
        """
        ...

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn from evaluations of proposed candidates: a generation in the order of these."""
        ...

    def state(self) -> dict[str, Any]:
        """Return as JSON what :meth:`restore` needs in addition to the evaluations told so far."""
        ...

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`.

        Args:
            state: state of the saved controller.
            told: all evaluations that it had been told, in the order of their numbers.
            pending: candidates that it had proposed whose evaluations are told later.
        """
        ...
