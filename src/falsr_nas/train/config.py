"""Settings of full trainings, and what identifies one. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsr_nas.cli.config import Schemas
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import plugin_settings
from falsr_nas.core.settings import CommandSettings, at_least, flatten, path, plain_values
from falsr_nas.data.settings import (
    DATA_SCHEMAS,
    DEGRADATIONS,
    DataSettings,
    DegradationSettings,
    PhotographsSettings,
    data_option,
)
from falsr_nas.space.cell import from_plugins
from falsr_nas.space.genome import Genome
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.training.settings import MODERN, RungSettings, TrainerSettings, TrainingSettings


@dataclass(frozen=True)
class TrainConfig(CommandSettings):
    """Settings of full trainings. The defaults are those of the command, but for ``tracking``.

    Attributes:
        run_dir: folder of a search whose networks are trained.
        select: which of its networks: ``crowding``, ``knee``, ``psnr``, ``spread``, another
            objective of the search such as ``latency``, or ``key=KEY``.
        n: how many.
        genome: a network to train instead: a published name, a text, JSON, or a file of either.
        output: folder of the trained models, one folder per network; by default ``trained`` in
            ``run_dir``, or ``outputs/trained``.
        training: the recipe.
        trainer: devices, and how often to validate.
        rungs: epochs at which the networks are compared by validation PSNR, and the shares of them
            that are trained on. It is one training all the same, with one schedule.
        data: the images.
        degradation: how their LR images are made.
        tracking: where metrics are recorded.
        benchmark_root: folder that holds ``sets``, to score the trained models; None for no scores.
        sets: benchmark sets.
        seed: seed of weights and patches.
        seeds: trainings of each network that is trained to the end, with this seed and the next
            ones. Folders of the others end in the seed, as ``3f0f149e7b1a-seed2``.
        workers: networks that are trained at a time, each in processes of its own.
        start_from: a model whose stem and cells the training starts with, e.g. of the same network
            for x2 when it is trained for x4. Stem and cells must be those of the network.
    """

    run_dir: str | None = path(default=None)
    select: str = "crowding"
    n: int = at_least(1, default=4)
    genome: str | None = path(default=None)
    output: str | None = path(default=None)
    training: TrainingSettings = MODERN
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    rungs: RungSettings = field(default_factory=RungSettings)
    data: DataSettings = field(default_factory=PhotographsSettings)
    degradation: DegradationSettings = field(default_factory=DegradationSettings)
    tracking: TrackingSettings = field(default_factory=lambda: TrackingSettings(mode="none"))
    benchmark_root: str | None = path(default=None)
    sets: tuple[str, ...] = path(default=("Set5", "Set14"))
    seed: int = at_least(0, default=1)
    seeds: int = at_least(1, default=1)
    workers: int = at_least(1, default=1)
    start_from: str | None = path(default=None)

    def __post_init__(self) -> None:
        if (self.run_dir is None) == (self.genome is None):
            raise UserError(
                "give the run_dir of a search, falsr-nas train outputs/demo, or genome=..."
            )
        self.rungs.check_before(self.training.epochs)


SCHEMAS = Schemas(
    TrainConfig,
    {
        "training": {"training": TrainingSettings, "modern": MODERN},
        "trainer": {"trainer": TrainerSettings},
        "data": DATA_SCHEMAS,
        "degradation": DEGRADATIONS,
        "tracking": {"tracking": TrackingSettings},
    },
    words=("run_dir",),
)


def output_folder(config: TrainConfig) -> Path:
    """Return the folder of the trained models."""
    if config.output is not None:
        return Path(config.output)
    if config.run_dir is not None:
        return Path(config.run_dir) / "trained"
    return Path("outputs/trained")


def recipe_of(config: TrainConfig, genome: Genome) -> dict[str, Any]:
    """Return what identifies the training of a network beside its genome, by dotted names.

    This is the recipe, the images and the seed, what it starts from, if anything, and the plug-ins
    of its operators.
    """
    plain = plain_values(config)
    identity = flatten({key: plain[key] for key in ("training", "data", "degradation", "seed")})
    start = {} if config.start_from is None else {"start_from": config.start_from}
    plugins = plugin_settings(from_plugins(genome.cells))
    return {"data": data_option(config.data)} | identity | start | plugins
