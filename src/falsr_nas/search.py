"""``python -m falsr_nas.search``: search for networks; the same command with the same ``run_dir`` resumes."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from falsr_nas import command
from falsr_nas.config import Schemas, flatten
from falsr_nas.controller.settings import Constraints, ControllerSettings, NSGA2Settings
from falsr_nas.data.settings import DataSettings, Div2kSettings, FolderSettings, PhotographsSettings
from falsr_nas.errors import UserError
from falsr_nas.evaluation.settings import EvaluatorSettings, IncompleteTrainingSettings, SyntheticSettings
from falsr_nas.execution.settings import ExecutionSettings
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.tracking import TrackingSettings
from falsr_nas.training.settings import TrainingSettings

if TYPE_CHECKING:
    from falsr_nas.controller.controller import Controller
    from falsr_nas.evaluation.evaluator import Evaluator


@dataclass(frozen=True)
class SearchConfig:
    """Settings of a search.

    Attributes:
        space: what can be built.
        constraints: limits on what is worth building.
        controller: who proposes.
        evaluator: who scores.
        training: the incomplete training of each candidate.
        data: the images.
        execution: where evaluations run.
        tracking: Weights & Biases.
        candidates: how many to evaluate. More may be asked for later, with the same ``run_dir``.
        seed: of everything random.
        run_dir: where all results lie.
    """

    space: SearchSpace = field(default_factory=SearchSpace)
    constraints: Constraints = field(default_factory=Constraints)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    evaluator: EvaluatorSettings = field(default_factory=EvaluatorSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    data: DataSettings = field(default_factory=DataSettings)
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    candidates: int = 64
    seed: int = 1
    run_dir: str = "outputs/search"

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise UserError(f"candidates is {self.candidates}: a search evaluates at least 1")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: it must not be negative")


SCHEMAS = Schemas(
    SearchConfig,
    {
        "space": {"falsr": SearchSpace},
        "controller": {"nsga2": NSGA2Settings},
        "evaluator": {"incomplete": IncompleteTrainingSettings, "synthetic": SyntheticSettings},
        "training": {"training": TrainingSettings},
        "data": {"photographs": PhotographsSettings, "folder": FolderSettings, "div2k": Div2kSettings},
        "execution": {"inline": ExecutionSettings},
        "tracking": {"tracking": TrackingSettings},
    },
)

CHANGEABLE = ("run_dir", "candidates", "execution", "tracking")
"""Settings that may differ when a search goes on: they do not change what it finds."""


def identity(config: SearchConfig) -> dict[str, Any]:
    """What makes a search this search: all its settings, dotted, but the CHANGEABLE ones."""
    plain = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert isinstance(plain, dict)
    return flatten({key: value for key, value in plain.items() if key not in CHANGEABLE})
