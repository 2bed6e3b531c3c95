"""The tracker that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from falsr_nas.archive.folders import group_of, search_name
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.tracking.tracker import Tracker, TrainingTracker
from falsr_nas.tracking.weights_and_biases import (
    WandbTracker,
    WandbTrainingTracker,
    check_login,
)


def open_tracker(
    settings: TrackingSettings, run_dir: Path, config: Mapping[str, Any]
) -> AbstractContextManager[Tracker]:
    """Return the tracker of a search, a context manager; nothing is sent before it is entered.

    Args:
        settings: settings of tracking.
        run_dir: the run folder, to which it writes.
        config: the resolved settings of the search, which are recorded.

    Raises:
        UserError: the mode is ``online``, and W&B has no API key.
    """
    if settings.mode == "none":
        return nullcontext(Tracker())
    check_login(settings)
    return WandbTracker(_grouped(settings, run_dir), run_dir, config, search_name(run_dir))


def open_training_tracker(
    settings: TrackingSettings,
    folder: Path,
    config: Mapping[str, Any],
    run_dir: Path | None = None,
) -> AbstractContextManager[TrainingTracker]:
    """Return the tracker of a training in ``folder``; see :func:`open_tracker`.

    Its W&B run has the name of the folder, and the group of the search in ``run_dir``, if any.
    """
    if settings.mode == "none":
        return nullcontext(TrainingTracker())
    check_login(settings)
    if run_dir is not None:
        settings = _grouped(settings, run_dir)
    return WandbTrainingTracker(settings, folder, config, folder.name)


def _grouped(settings: TrackingSettings, run_dir: Path) -> TrackingSettings:
    return replace(settings, group=settings.group or group_of(run_dir))
