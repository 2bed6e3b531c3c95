"""The protocol of every controller: ask for candidates, tell their evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from falsr_nas.archive.candidate import Candidate, Evaluation


class Controller(Protocol):
    """Proposes genomes and learns from their evaluations.

    Its state is a plain JSON value, so that resume is ordinary: a controller that restores a state and is told nothing more
    asks for the very candidates that the saved one would have asked for.
    """

    def ask(self, count: int) -> list[Candidate]:
        """Up to ``count`` new candidates, none proposed before, all within the mult-adds limit; fewer only when no more exist."""
        ...

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn from evaluations of asked candidates: a generation in the order in which it was asked for, or one as it ends."""
        ...

    def state(self) -> dict[str, Any]:
        """All that :meth:`restore` needs beside the evaluations told so far, as JSON."""
        ...

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`.

        Args:
            state: the saved one's.
            told: every evaluation told up to then, in the order of their numbers.
            pending: candidates that the saved one had asked for and was not told of; they will be told of yet.
        """
        ...
