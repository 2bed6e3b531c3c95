"""Settings of a search, and what identifies it. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsr_nas.cli.config import Schemas
from falsr_nas.controller.settings import (
    CONTROLLERS,
    ControllerSettings,
    ScreeningSettings,
)
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import Plugin, loaded_plugins, name_of, owner, plugin_settings
from falsr_nas.core.settings import CommandSettings, at_least, flatten, path, plain_values
from falsr_nas.data.settings import (
    DATA_SCHEMAS,
    DEGRADATIONS,
    DataSettings,
    DegradationSettings,
    PhotoDegradation,
    PhotographsSettings,
    data_option,
)
from falsr_nas.evaluation.settings import (
    EVALUATORS,
    EvaluatorSettings,
    IncompleteTrainingSettings,
)
from falsr_nas.execution.settings import EXECUTORS, ExecutionSettings, ProcessesSettings
from falsr_nas.latency.profile import LatencyProfile, read_profile
from falsr_nas.objectives.objective import DEFAULT_OBJECTIVES, check_names
from falsr_nas.objectives.objective import GROUP as OBJECTIVE
from falsr_nas.objectives.settings import Constraints
from falsr_nas.space.operators import GROUP as OPERATOR
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.training.settings import MODERN, TrainingSettings


@dataclass(frozen=True)
class SearchConfig(CommandSettings):
    """Settings of a search.

    The defaults are those of the command, except for ``run_dir`` and ``tracking``.

    Attributes:
        space: the search space.
        constraints: limits on costs and PSNR.
        controller: proposes the candidates.
        evaluator: scores them.
        training: the incomplete training of each candidate.
        data: the images.
        degradation: how their LR images are made.
        execution: where evaluations run.
        tracking: where metrics are recorded.
        candidates: how many to evaluate. May be raised later, with the same ``run_dir``.
        seed: seed of everything random.
        objectives: names of what is optimised, ``psnr`` among them. The first other one orders
            fronts.
        latency: file of a profile of a device, which ``python -m falsr_nas.profile`` writes. It is
            needed where ``latency`` is an objective or limited. Its content is part of what
            identifies the search, and is stored with it.
        measure_latency: whether each candidate is timed after its training, where ``latency`` is an
            objective or limited; otherwise predictions are all, for a device that is not at hand.
        psnr_range: PSNR in dB at the worst and at the best end of the hypervolume's scale; None for
            what the evaluator suggests. It is stored with the search, and searches compare by
            hypervolume only where it is the same. No controller uses it, so it may be changed.
        run_dir: folder of all results.
        plugins: with operators, evaluators and controllers of others. A search is resumed with
            plug-ins of the same content; copies of those in files are kept in ``run_dir/plugins``.
    """

    space: SearchSpace = field(default_factory=SearchSpace)
    # 60 G: our choice for a CPU.
    constraints: Constraints = field(default_factory=lambda: Constraints(max_mult_adds=60.0))
    controller: ControllerSettings = field(default_factory=ScreeningSettings)
    evaluator: EvaluatorSettings = field(default_factory=IncompleteTrainingSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    data: DataSettings = field(default_factory=PhotographsSettings)
    degradation: DegradationSettings = field(default_factory=DegradationSettings)
    execution: ExecutionSettings = field(default_factory=ProcessesSettings)
    tracking: TrackingSettings = field(default_factory=lambda: TrackingSettings(mode="none"))
    candidates: int = at_least(1, default=64)
    seed: int = at_least(0, default=1)
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    latency: str | None = path(default=None)
    measure_latency: bool = True
    psnr_range: tuple[float, float] | None = None
    run_dir: str = path(default="outputs/search")

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", check_names(self.objectives))
        if (ends := self.psnr_range) is not None and (len(ends) != 2 or not ends[0] < ends[1]):
            raise UserError(
                f"psnr_range is {list(ends)}: give two PSNR in dB, the lower one first, or null"
            )


SCHEMAS = Schemas(
    SearchConfig,
    {
        "space": {"falsr": SearchSpace},
        "controller": CONTROLLERS.schemas,
        "evaluator": EVALUATORS.schemas,
        "training": {"training": TrainingSettings, "modern": MODERN},
        "data": DATA_SCHEMAS,
        "degradation": DEGRADATIONS,
        "execution": EXECUTORS.schemas,
        "tracking": {"tracking": TrackingSettings},
    },
    words=("+experiment",),
    output="run_dir",
)

CHANGEABLE = "run_dir", "candidates", "execution", "tracking", "psnr_range", "plugins"
"""Settings that may differ when a search is resumed: they do not change what it finds.

Of the plug-ins, the content counts, not where they are."""


def identity(config: SearchConfig, profile: LatencyProfile | None = None) -> dict[str, Any]:
    """Return the settings that identify a search, by dotted names: all that may not be changed.

    The names of config groups have the names of the chosen options. A profile is identified by its
    content, wherever its file is.
    """
    plain = plain_values(config)
    options = options_of(config)
    del options["execution"]  # it may be changed
    if not isinstance(config.degradation, PhotoDegradation):
        del options["degradation"]  # searches of earlier versions have no other
    settings = flatten({key: value for key, value in plain.items() if key not in CHANGEABLE})
    plugins = {plugin.name: plugin.sha256 for plugin in plugins_of(config)}
    latency = {"latency": None if profile is None else profile.digest}
    return options | settings | latency | plugin_settings(plugins)


def options_of(config: SearchConfig) -> dict[str, str]:
    """Return the option of each config group whose options differ in their type."""
    return {
        "controller": CONTROLLERS.name_of(config.controller),
        "evaluator": EVALUATORS.name_of(config.evaluator),
        "data": data_option(config.data),
        "degradation": "photo" if isinstance(config.degradation, PhotoDegradation) else "bicubic",
        "execution": EXECUTORS.name_of(config.execution),
    }


def plugins_of(config: SearchConfig) -> list[Plugin]:
    """Return the plug-ins of a search: those that it names, and those whose parts it uses."""
    used = [
        owner("controller", CONTROLLERS.name_of(config.controller)),
        owner("evaluator", EVALUATORS.name_of(config.evaluator)),
        *(owner(OBJECTIVE, name) for name in config.objectives),
        *(owner(OPERATOR, name) for name in {cell.operator.kind for cell in config.space.cells}),
    ]
    named = {name_of(given) for given in config.plugins}
    return [plugin for plugin in loaded_plugins() if plugin.name in named or plugin in used]


def device_profile(config: SearchConfig) -> LatencyProfile | None:
    """Return the profile that predicts latencies, or None where the config names none.

    Raises:
        UserError: it cannot be read, or is of another space.
    """
    if config.latency is None:
        return None
    profile = read_profile(Path(config.latency))
    profile.check_space(config.space)
    return profile
