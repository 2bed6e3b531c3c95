"""The result of a search, for scripts and notebooks."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.archive.candidate import Evaluation, FailedAttempt
from falsr_nas.archive.folders import STORE, search_in
from falsr_nas.archive.store import Store
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.problem import Problem, stored_problem
from falsr_nas.objectives.summary import flat_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from falsr_nas.report.history import Period

_SHOWN_ROWS = 10  # of the front in a repr, so that it fits on a screen; our choice


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult:
    """What a search found.

    Attributes:
        folder: the run folder, which holds the store and the report.
        front: the Pareto front by ascending mult-adds, or another first objective beside PSNR.
        evaluations: all evaluations by number, also failed ones.
        failures: all failed attempts.
        hypervolume: hypervolume of the front, in 0..1.
        problem: what the search looked for.
    """

    folder: Path
    front: tuple[Evaluation, ...]
    evaluations: tuple[Evaluation, ...]
    failures: tuple[FailedAttempt, ...]
    hypervolume: float
    problem: Problem

    def rows(self) -> list[dict[str, object]]:
        """Return one flat dictionary per evaluation.

        The columns are those of :func:`~falsr_nas.objectives.summary.flat_row`, then ``on_front``
        and the search's objectives beside PSNR, mult-adds and parameters, such as ``latency`` in
        ms.
        """
        on_front = {evaluation.key for evaluation in self.front}
        return [
            flat_row(evaluation)
            | {"on_front": evaluation.key in on_front}
            | self.problem.numbers(evaluation)
            for evaluation in self.evaluations
        ]

    def to_pandas(self) -> DataFrame:
        """Return :meth:`rows` as a table of pandas, by number of the candidate.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ModuleNotFoundError:
            raise UserError("to_pandas() needs pandas: pip install 'falsr-nas[notebook]'") from None
        return DataFrame(self.rows()).set_index("number")

    def plot(self) -> Figure:
        """Return PSNR against each cost, with the front, as a figure that Jupyter shows."""
        from falsr_nas.report.figures import pareto_figure

        return pareto_figure(self.evaluations, self.problem)

    def history(self) -> list[Period]:
        """Return the front and its hypervolume over the generations, as the report shows them."""
        from falsr_nas.report.history import periods

        return periods(self.evaluations, self.problem)

    def __repr__(self) -> str:
        """Return the search in a line, and its front as a table of at most 10 rows."""
        failed = sum(evaluation.score is None for evaluation in self.evaluations)
        return (
            f"SearchResult of {self.folder}: {len(self.evaluations)} candidates, {failed} failures,"
            f" hypervolume {self.hypervolume:.4f}\n{self._front_table()}"
        )

    def _front_table(self) -> str:
        from rich.console import Console

        from falsr_nas.report.terminal import front_table

        text = io.StringIO()
        table = front_table(self.front, self.problem, _SHOWN_ROWS)
        # Jupyter would get the table displayed, and its settings ask for colours.
        console = Console(file=text, width=100, force_jupyter=False, force_terminal=False)
        console.print(table)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def load_search(run_dir: str | os.PathLike[str]) -> SearchResult:
    """Return the result of a search that has ended, or of a running one so far.

    Args:
        run_dir: folder of the search. It is only read.

    Raises:
        UserError: the folder holds no search, or a sweep of several; or the search uses a plug-in
            that is not loaded.
    """
    folder = search_in(Path(run_dir).expanduser())
    with Store(folder / STORE) as store:
        return result_so_far(store, stored_problem(store))


def result_so_far(store: Store, problem: Problem) -> SearchResult:
    """Return what the search of a store has found, by the problem that it solves."""
    evaluations = store.evaluations()
    front = problem.front(evaluations)
    return SearchResult(
        store.path.parent,
        tuple(front),
        tuple(evaluations),
        tuple(store.failures()),
        problem.hypervolume(front),
        problem,
    )
