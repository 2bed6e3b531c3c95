"""Trackers that use Lightning's CSVLogger and TensorBoardLogger.

Where a file cannot be written, the search or training continues without tracking.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from falsr_nas.core.closing import Closing
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.summary import SearchSummary
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.tracking.tracker import Images, Tracker, TrainingTracker

if TYPE_CHECKING:
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

_log = logging.getLogger(__name__)


class _LoggerRun(Closing):
    """One logger per folder; a context manager.

    Args:
        settings: with mode ``csv`` or ``tensorboard``, which is also the name of the subfolder.
        folder: of the search or training.
        config: its resolved settings, which become ``hparams.yaml``.
        name: of the run. Only W&B shows it; all trackers are made with the same arguments.
    """

    def __init__(
        self, settings: TrackingSettings, folder: Path, config: Mapping[str, Any], name: str
    ) -> None:
        self._mode, self._folder, self._config = settings.mode, folder, config
        self._logger: CSVLogger | TensorBoardLogger | None = None

    def __enter__(self) -> Self:
        from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

        if self._mode == "csv":  # a new version for a resumed run: the older file would be deleted
            self._logger = CSVLogger(self._folder, name="csv", flush_logs_every_n_steps=1)
        else:  # TensorBoard joins the files in a folder to one run
            self._logger = TensorBoardLogger(
                self._folder, name="tensorboard", version="", default_hp_metric=False
            )
        self._try(lambda logger: logger.log_hyperparams(dict(self._config)))
        return self

    def close_after(self, error: BaseException | None) -> None:
        """Write what is not written yet."""
        self._try(lambda logger: logger.finalize("success" if error is None else "failed"))

    def _log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._try(lambda logger: logger.log_metrics(dict(metrics), step))

    def _try(self, action: Callable[[CSVLogger | TensorBoardLogger], None]) -> None:
        if self._logger is None:
            return
        try:
            action(self._logger)
        except OSError as error:
            self._logger = None
            _log.warning("cannot write to %s: %s; continuing without tracking", self._folder, error)


class LoggerTracker(_LoggerRun, Tracker):
    """The logger of a search."""

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """Log the metrics of a generation, with its number as the step."""
        metrics = asdict(summary) | {"candidates_per_hour": candidates_per_hour}
        kinds = metrics.pop("failures_by_kind")
        metrics |= {f"failures/{kind}": count for kind, count in kinds.items()}
        present = {name: value for name, value in metrics.items() if value is not None}
        self._log_metrics(present, summary.generation)


class LoggerTrainingTracker(_LoggerRun, TrainingTracker):
    """The logger of a training."""

    def validated(self, metrics: Mapping[str, float], step: int, images: Images) -> None:
        """Log the metrics of a validation, and where the logger shows images, its images."""
        self._log_metrics(metrics, step)
        if self._mode == "tensorboard":
            self._try(
                lambda logger: logger.experiment.add_image(
                    "validation", images, step, dataformats="HW"
                )
            )


def check_installed(settings: TrackingSettings) -> None:
    """Raise UserError where the mode needs a library that is not installed."""
    if settings.mode == "tensorboard" and find_spec("tensorboard") is None:
        raise UserError(
            "tracking=tensorboard needs a library that is not installed (tensorboard):"
            " pip install 'falsr-nas[tensorboard]'"
        )
