"""What trackers record of searches and trainings; these base classes record nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import SearchSummary

Images = NDArray[np.uint8]
"""Luma of images (H, W)."""


class Tracker:
    """Records the metrics of a search."""

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """Record the summary after a generation."""

    def finish(self, evaluations: Sequence[Evaluation], problem: Problem) -> None:
        """Record all evaluations and the front at the end of the search."""


class TrainingTracker:
    """Records the metrics of a training."""

    def validated(self, metrics: Mapping[str, float], step: int, images: Images) -> None:
        """Record a validation after ``step`` optimizer steps.

        Args:
            metrics: ``psnr`` in dB, ``loss`` and ``learning_rate``.
            step: optimizer steps so far.
            images: a strip of validation images.
        """

    def trained(self, model: Path, name: str, about: Mapping[str, Any]) -> None:
        """Record the model file at the end of the training, under a name, with metadata."""
