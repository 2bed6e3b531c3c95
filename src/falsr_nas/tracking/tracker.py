"""What trackers record of searches and trainings; these base classes record nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import SearchSummary


class Tracker:
    """Records the metrics of a search."""

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """Record the summary after a generation."""

    def finish(self, evaluations: Sequence[Evaluation], problem: Problem) -> None:
        """Record all evaluations and the front at the end of the search."""


class TrainingTracker:
    """Records the metrics of a training."""

    def validated(self, psnr: float, step: int) -> None:
        """Record the PSNR in dB of a validation after ``step`` optimizer steps."""

    def trained(self, model: Path, name: str, about: Mapping[str, Any]) -> None:
        """Record the model file at the end of the training, under a name, with metadata."""
