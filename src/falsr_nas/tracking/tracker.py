"""Trackers: they record the metrics of searches and trainings, e.g. in Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from falsr_nas.objectives.summary import SearchSummary


class Tracker(Protocol):
    """Records the metrics of a search."""

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """Record the summary after a generation."""
        ...

    def finish(self, evaluations: Sequence[Evaluation], problem: Problem) -> None:
        """Record all evaluations and the front at the end of the search."""
        ...


class NoTracker:
    """Tracker of a search that records nothing."""

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """Do nothing."""

    def finish(self, evaluations: Sequence[Evaluation], problem: Problem) -> None:
        """Do nothing."""


class TrainingTracker(Protocol):
    """Records the metrics of a training."""

    def validated(self, psnr: float, step: int) -> None:
        """Record the PSNR in dB of a validation after ``step`` optimizer steps."""
        ...

    def trained(self, model: Path, name: str, about: Mapping[str, Any]) -> None:
        """Record the model file at the end of the training.

        Args:
            model: the model file.
            name: name of the model.
            about: metadata of the model.
        """
        ...


class NoTrainingTracker:
    """Tracker of a training that records nothing."""

    def validated(self, psnr: float, step: int) -> None:
        """Do nothing."""

    def trained(self, model: Path, name: str, about: Mapping[str, Any]) -> None:
        """Do nothing."""


def open_tracker(
    settings: TrackingSettings, run_dir: Path, config: Mapping[str, Any]
) -> AbstractContextManager[Tracker]:
    """Return the tracker of a search, a context manager; nothing is sent before it is entered.

    Args:
        settings: settings of tracking.
        run_dir: the run folder, to which W&B writes.
        config: the resolved settings of the search, which are recorded.

    Raises:
        UserError: the mode is ``online``, and W&B has no API key.
    """
    if settings.mode == "none":
        return nullcontext(NoTracker())
    from falsr_nas.tracking.weights_and_biases import WandbTracker, check_login

    check_login(settings)
    # One group per search; the trainings of its networks use it, too.
    return WandbTracker(
        replace(settings, group=settings.group or run_dir.resolve().name), run_dir, config
    )


def open_training_tracker(
    settings: TrackingSettings, folder: Path, config: Mapping[str, Any]
) -> AbstractContextManager[TrainingTracker]:
    """Return the tracker of a training in ``folder``; see :func:`open_tracker`."""
    if settings.mode == "none":
        return nullcontext(NoTrainingTracker())
    from falsr_nas.tracking.weights_and_biases import WandbTrainingTracker, check_login

    check_login(settings)
    return WandbTrainingTracker(settings, folder, config)
