"""The files of a search's folder that people read."""

from __future__ import annotations

from pathlib import Path

from falsr_nas.archive.objectives import pareto_front
from falsr_nas.report.figures import write_pareto_png
from falsr_nas.report.page import write_page
from falsr_nas.report.pareto import write_pareto_csv, write_pareto_json
from falsr_nas.report.run import Run


def write_report(folder: Path, run: Run) -> None:
    """Write ``pareto.csv``, ``pareto.json``, ``pareto.png`` and ``report.html`` of a search so far.

    Raises UserError where they cannot be written.
    """
    write_pareto_csv(folder / "pareto.csv", pareto_front(run.evaluations, run.min_psnr))
    write_pareto_json(folder / "pareto.json", run.evaluations, run.scale, run.min_psnr)
    write_pareto_png(folder / "pareto.png", run.evaluations, min_psnr=run.min_psnr)
    write_page(folder / "report.html", [run])
