"""Lightning's Trainer as all trainings here use it: without its logs, progress bar and checkpoints, which have others of ours."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl


def quiet_trainer(**options: Any) -> pl.Trainer:
    """A Trainer with these options that says nothing but errors: it would tell each of hundreds of candidates' devices."""
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings(
        "ignore", module="pytorch_lightning"
    )  # it advises workers for a loader that reads nothing
    return pl.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
