"""The report in a run folder, which is written while a search runs and when it ends.

It is ``pareto.csv``, ``pareto.json``, ``pareto.png`` and ``report.html`` of the search so far.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.folders import search_name
from falsr_nas.archive.store import Store
from falsr_nas.core.closing import Closing
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.problem import Problem
from falsr_nas.report.failures import write_failures_csv
from falsr_nas.report.figures import pareto_figure, write_figure
from falsr_nas.report.page import write_page
from falsr_nas.report.pareto import write_pareto_csv, write_pareto_json
from falsr_nas.report.run import Run

REPORT_SECONDS = 30.0
"""Minimum time between two writings of the report while a search runs."""

_log = logging.getLogger(__name__)


class ReportWriter(Closing):
    """Observer of a search that keeps its report up to date.

    The files are written after generations, at most every REPORT_SECONDS, and when the ``with``
    block ends, however it ends.
    """

    def __init__(self, folder: Path, store: Store, problem: Problem) -> None:
        self._folder, self._store, self._problem = folder, store, problem
        self._written = time.monotonic()

    def close_after(self, error: BaseException | None) -> None:
        """Write the files.

        Raises:
            UserError: a file cannot be written, and no error ended the search.
        """
        try:
            self._write()
        except UserError:
            if error is None:  # otherwise the error that ended the search is more important
                raise

    def evaluated(self, evaluation: Evaluation) -> None:
        """Do nothing: files are written after generations."""

    def generation_ended(self, generation: int) -> None:
        """Write the files, unless they were written within the last REPORT_SECONDS."""
        if time.monotonic() - self._written <= REPORT_SECONDS:
            return
        try:
            self._write()
        except UserError as error:  # probably a full disk: the next attempt may succeed
            _log.warning("%s", error)

    def _write(self) -> None:
        name, store = search_name(self._folder), self._store
        evaluations = store.evaluations()
        run = Run(name, evaluations, self._problem, store.config)
        write_pareto_csv(self._folder / "pareto.csv", evaluations, self._problem)
        write_pareto_json(self._folder / "pareto.json", evaluations, self._problem)
        write_figure(self._folder / "pareto.png", pareto_figure(evaluations, self._problem))
        write_page(self._folder / "report.html", [run])
        if failures := store.failures():
            write_failures_csv(self._folder / "failures.csv", failures)
        self._written = time.monotonic()
