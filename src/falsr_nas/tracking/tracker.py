"""Where a search or a training reports its metrics: Weights & Biases, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from falsr_nas.archive.objectives import SearchSummary


class Tracker(Protocol):
    """Takes down how a search goes."""

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """A generation has ended."""
        ...

    def finish(self, evaluations: Sequence[Evaluation], front: Sequence[Evaluation]) -> None:
        """The search has ended, with all these evaluations and this front."""
        ...


class NoTracker:
    """Takes nothing down."""

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """Nothing."""

    def finish(self, evaluations: Sequence[Evaluation], front: Sequence[Evaluation]) -> None:
        """Nothing."""


class TrainingTracker(Protocol):
    """Takes down how a training goes."""

    def validated(self, psnr: float, step: int) -> None:
        """A validation has ended: PSNR in dB after so many optimiser steps."""
        ...

    def trained(self, model: Path, name: str, about: Mapping[str, Any]) -> None:
        """The training has ended in this model file."""
        ...


class NoTrainingTracker:
    """Takes nothing down."""

    def validated(self, psnr: float, step: int) -> None:
        """Nothing."""

    def trained(self, model: Path, name: str, about: Mapping[str, Any]) -> None:
        """Nothing."""


def open_tracker(
    settings: TrackingSettings, run_dir: Path, config: Mapping[str, Any]
) -> AbstractContextManager[Tracker]:
    """The tracker of a search, to be used in a ``with``. Nothing is asked, nothing is sent before it is entered.

    Raises:
        UserError: tracking is to be online, and W&B has no API key.
    """
    if settings.mode == "none":
        return nullcontext(NoTracker())
    from falsr_nas.tracking.weights_and_biases import WandbTracker, check_login

    check_login(settings)
    # One group a search, where the trainings of its networks join it.
    return WandbTracker(
        replace(settings, group=settings.group or run_dir.resolve().name), run_dir, config
    )


def open_training_tracker(
    settings: TrackingSettings, folder: Path, config: Mapping[str, Any]
) -> AbstractContextManager[TrainingTracker]:
    """The tracker of a training in ``folder``; otherwise like :func:`open_tracker`."""
    if settings.mode == "none":
        return nullcontext(NoTrainingTracker())
    from falsr_nas.tracking.weights_and_biases import WandbTrainingTracker, check_login

    check_login(settings)
    return WandbTrainingTracker(settings, folder, config)
