"""The front's files in a search's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsr_nas.candidate import Evaluation
from falsr_nas.objectives import ObjectiveScale, pareto_front
from falsr_nas.report.figures import write_pareto_png
from falsr_nas.report.pareto import write_pareto_csv, write_pareto_json


def write_report(folder: Path, evaluations: Sequence[Evaluation], scale: ObjectiveScale, min_psnr: float | None) -> None:
    """Write ``pareto.csv``, ``pareto.json`` and ``pareto.png`` of all evaluations so far. Raises UserError where they cannot be written."""
    write_pareto_csv(folder / "pareto.csv", pareto_front(evaluations, min_psnr))
    write_pareto_json(folder / "pareto.json", evaluations, scale, min_psnr)
    write_pareto_png(folder / "pareto.png", evaluations, min_psnr=min_psnr)
