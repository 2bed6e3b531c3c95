"""``python -m falsr_nas.train run_dir=R select=crowding n=4``: the best of a search, trained fully; the same command again resumes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas, flatten
from falsr_nas.data.settings import DataSettings, Div2kSettings, FolderSettings, PhotographsSettings
from falsr_nas.errors import INTERRUPTED, UserError
from falsr_nas.space.genome import Genome
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.training.settings import TrainerSettings, TrainingSettings

if TYPE_CHECKING:
    from falsr_nas.benchmark.scoring import ModelScore
    from falsr_nas.models.model_file import Model
    from falsr_nas.training.full_training import CurvePoint


@dataclass(frozen=True)
class TrainConfig:
    """Settings of full trainings.

    Attributes:
        run_dir: the folder of a search, to choose from.
        select: which of its networks: ``crowding``, ``knee``, ``psnr`` or ``key=KEY``.
        n: how many.
        genome: a network to train instead: a published name, a text, JSON, or a file of either.
        output: the folder of the trained models, one folder a network; by default ``run_dir``'s ``trained``, or ``outputs/trained``.
        training: the recipe.
        trainer: devices, and how often to validate.
        data: the images.
        tracking: Weights & Biases.
        benchmark_root: the folder that holds ``sets``, to score what was trained; None for no scores.
        sets: benchmark sets.
        seed: of weights and patches.
    """

    run_dir: str | None = None
    select: str = "crowding"
    n: int = 4
    genome: str | None = None
    output: str | None = None
    training: TrainingSettings = field(default_factory=TrainingSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    data: DataSettings = field(default_factory=DataSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    benchmark_root: str | None = None
    sets: tuple[str, ...] = ("Set5", "Set14")
    seed: int = 1

    def __post_init__(self) -> None:
        if (self.run_dir is None) == (self.genome is None):
            raise UserError(
                "give run_dir=... of a search to choose from, or genome=..., and not both"
            )
        if self.n < 1:
            raise UserError(f"n is {self.n}: it must be at least 1")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: it must not be negative")
        object.__setattr__(self, "sets", tuple(self.sets))  # configs bring lists


SCHEMAS = Schemas(
    TrainConfig,
    {
        "training": {"training": TrainingSettings},
        "trainer": {"trainer": TrainerSettings},
        "data": {
            "photographs": PhotographsSettings,
            "folder": FolderSettings,
            "div2k": Div2kSettings,
        },
        "tracking": {"tracking": TrackingSettings},
    },
)


def train(config: TrainConfig) -> None:
    """Train the chosen networks, one after the other; those that are finished are left alone.

    Raises:
        UserError: for what a user can mend.
        SystemExit: with 130 when stopped by Ctrl-C or SIGTERM.
    """
    from falsr_nas.cli.interruption import Interrupted, interruptible
    from falsr_nas.data.datamodule import SuperResolutionData

    chosen = choose(config)
    output = output_folder(config)
    settings = config.training
    data = SuperResolutionData(
        config.data,
        batch_size=settings.batch_size,
        patch_size=settings.patch_size,
        steps_per_epoch=settings.steps_per_epoch,
    )
    data.setup()  # what is wrong with the images is said before anything else
    try:
        with interruptible():
            for place, (name, genome) in enumerate(chosen, start=1):
                print(f"{place} of {len(chosen)}: {name}", file=sys.stderr)
                train_one(config, genome, data, output / name)
            point_to_best(output)
    except Interrupted:
        print(
            f"stopped; what was validated is kept in {output}. The same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(INTERRUPTED)


def choose(config: TrainConfig) -> list[tuple[str, Genome]]:
    """The networks to train, each with the name of its folder."""
    if config.genome is not None:
        from falsr_nas.space.lookup import find_genome

        genome = find_genome(config.genome)
        return [(_name(genome), genome)]
    from falsr_nas.archive.selection import select
    from falsr_nas.archive.store import Store

    assert config.run_dir is not None, "checked when the config was made"
    with Store(Path(config.run_dir).expanduser() / "search.db") as store:
        chosen = select(store.evaluations(), config.select, config.n)
    return [(_name(one.candidate.genome), one.candidate.genome) for one in chosen]


def output_folder(config: TrainConfig) -> Path:
    """Where the trained models go."""
    if config.output is not None:
        return Path(config.output).expanduser()
    return (
        Path(config.run_dir).expanduser() / "trained"
        if config.run_dir is not None
        else Path("outputs/trained")
    )


def train_one(config: TrainConfig, genome: Genome, data: Any, folder: Path) -> None:
    """Train a network into its folder: the state, the curve, at last the model and its card."""
    from falsr_nas.models.model_file import WEIGHTS, Model, load_model
    from falsr_nas.models.pretrained import save_pretrained
    from falsr_nas.report.model_card import model_card
    from falsr_nas.tracking.tracker import open_training_tracker
    from falsr_nas.training.full_training import keep_recipe, train_fully

    recipe = recipe_of(config)
    keep_recipe(folder, recipe)
    model_path = folder / WEIGHTS
    if model_path.exists():
        print(f"{folder} is trained already", file=sys.stderr)
        return
    tracking = (
        replace(config.tracking, group=config.tracking.group or folder.parent.parent.name)
        if config.run_dir
        else config.tracking
    )
    with (
        open_training_tracker(tracking, folder, {"genome": str(genome), **recipe}) as tracker,
        TrainingProgress() as progress,
    ):

        def on_point(point: CurvePoint, steps: int) -> None:
            progress.show(point, steps)
            tracker.validated(point.psnr, point.step)

        curve = train_fully(
            genome,
            config.training,
            data,
            trainer_settings=config.trainer,
            seed=config.seed,
            folder=folder,
            on_point=on_point,
        )
        _write_curve(folder / "curve.csv", curve)
        provenance = {
            "recipe": "recipe.json",
            "validation_psnr": f"{curve[-1].psnr:.3f}",
            "steps": str(config.training.steps),
        }
        model = Model(load_model(folder / "last.ckpt").network, folder.name, provenance)
        card = model_card(folder.name, genome, recipe, curve, score(config, model))
        save_pretrained(
            model, folder, card
        )  # the weights last: their presence says that all is done
        tracker.trained(model_path, folder.name, provenance)
    print(f"{model_path}: {curve[-1].psnr:.2f} dB on the validation images")


def point_to_best(output: Path) -> None:
    """A link ``best`` to the trained model of the highest validation PSNR, so that its name need not be known.

    Models in the folder that were not trained here have no such PSNR and come last.
    """
    from falsr_nas.models.model_file import WEIGHTS
    from falsr_nas.models.pretrained import from_pretrained

    trained = [path.parent for path in output.glob(f"*/{WEIGHTS}") if not path.parent.is_symlink()]
    best = max(
        trained,
        key=lambda folder: float(from_pretrained(folder).provenance.get("validation_psnr", "-inf")),
    )
    draft, link = output / ".best", output / "best"
    draft.unlink(missing_ok=True)
    draft.symlink_to(best.name)
    draft.replace(link)
    print(f"{link}: {best.name}")


def recipe_of(config: TrainConfig) -> dict[str, Any]:
    """What makes a training this training: the recipe, the images and the seed, dotted."""
    plain = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert isinstance(plain, dict)
    return flatten({key: plain[key] for key in ("training", "data", "seed")})


def score(config: TrainConfig, model: Model) -> ModelScore | None:
    """The model's scores on the benchmark sets that the config names, under ``standard``."""
    if config.benchmark_root is None:
        return None
    from falsr_nas.benchmark.protocol import ScoringProtocol
    from falsr_nas.benchmark.scoring import benchmark_files, score_model

    root = Path(config.benchmark_root).expanduser()
    sets = {Path(one).name: benchmark_files(root / one) for one in config.sets}
    return score_model(model, sets, ScoringProtocol.standard)


class TrainingProgress:
    """A line that says how far a training is and how long it will take: live on a terminal, a line a validation elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.status import Status

        self._console = Console(stderr=True)
        self._status = (
            Status("first validation pending", console=self._console)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> TrainingProgress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, point: CurvePoint, steps: int) -> None:
        """A validation has ended, of a training of ``steps`` steps."""
        from falsr_nas.tracking.progress import hours

        left = point.seconds / point.step * (steps - point.step)
        text = f"step {point.step:,} of {steps:,}: {point.psnr:.3f} dB, {hours(left)} left"
        if self._status:
            self._status.update(text)
        else:
            self._console.print(text, highlight=False)


def _write_curve(path: Path, curve: Sequence[CurvePoint]) -> None:
    from falsr_nas.files import write_atomically

    lines = [
        "step,psnr,seconds",
        *(f"{point.step},{point.psnr:.4f},{point.seconds:.1f}" for point in curve),
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _name(genome: Genome) -> str:
    from falsr_nas.space.published import PUBLISHED

    return next(
        (name for name, published in PUBLISHED.items() if published.key == genome.key),
        genome.key[:12],
    )


def main() -> None:
    """The command."""
    paths = ("run_dir", "select", "genome", "output", "benchmark_root", "data.val_dir", "data.root")
    run_command("train", SCHEMAS, train, free_text=paths)


if __name__ == "__main__":
    main()
