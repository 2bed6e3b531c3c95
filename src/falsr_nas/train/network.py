"""The full training of a network into its folder: checkpoint and curve, then model and card."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import keep_sources, loaded_plugins
from falsr_nas.space.cell import from_plugins
from falsr_nas.space.genome import Genome
from falsr_nas.train.config import TrainConfig, output_folder, recipe_of

if TYPE_CHECKING:
    from torch import Tensor

    from falsr_nas.benchmark.scoring import ModelScore
    from falsr_nas.data.datamodule import SuperResolutionData
    from falsr_nas.models.model import Model
    from falsr_nas.tracking.tracker import TrainingTracker
    from falsr_nas.training.full_training import CurvePoint
    from falsr_nas.training.strip import Strip

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainedModel:
    """A network that was trained fully.

    Attributes:
        name: a published name, or the beginning of the genome's key.
        genome: the network.
        folder: holds ``model.safetensors``, ``config.json``, the card, the curve and the
            checkpoint.
        curve: validation PSNR during the training.
        score: on the benchmark sets; None where the config names no ``benchmark_root``, or an
            earlier call trained the model.
    """

    name: str
    genome: Genome
    folder: Path
    curve: tuple[CurvePoint, ...] = field(repr=False)
    score: ModelScore | None = None


@dataclass(frozen=True)
class NetworkTrainer:
    """Trains networks, each into a folder of its own.

    Attributes:
        config: the settings.
        data: the images.
        progress: whether to show the progress on standard error.
        report: called with a line about each network.
    """

    config: TrainConfig
    data: SuperResolutionData
    progress: bool
    report: Report

    def folder(self, name: str) -> Path:
        """Return the folder of a network."""
        return output_folder(self.config) / name

    def show(self, line: str) -> None:
        """Print a line to standard error if the progress is shown."""
        if self.progress:
            print(line, file=sys.stderr)

    def train_to(self, name: str, genome: Genome, epochs: int) -> list[CurvePoint]:
        """Train a network to an epoch, and return its curve; it may have been trained further."""
        folder = self.folder(name)
        recipe = self._kept_recipe(genome, folder)
        with self._training(genome, recipe, folder) as (_, run):
            return run(epochs)

    def finish(self, name: str, genome: Genome) -> TrainedModel:
        """Train a network to the end, unless that was done before, and write the model."""
        from falsr_nas.models.model import Model
        from falsr_nas.models.model_file import load_model
        from falsr_nas.models.names import WEIGHTS
        from falsr_nas.models.pretrained import save_pretrained
        from falsr_nas.train.model_card import model_card
        from falsr_nas.training.full_training import stored_curve

        config, folder = self.config, self.folder(name)
        recipe = self._kept_recipe(genome, folder)
        needed = from_plugins(genome.cells)
        keep_sources(folder, [plugin for plugin in loaded_plugins() if plugin.name in needed])
        model_path = folder / WEIGHTS
        if model_path.exists():
            self.show(f"{folder} is trained already")
            return TrainedModel(name, genome, folder, tuple(stored_curve(folder / "last.ckpt")))
        with self._training(genome, recipe, folder) as (tracker, run):
            curve = run(config.training.epochs)
            provenance = {
                "recipe": "recipe.json",
                "validation_psnr": f"{curve[-1].psnr:.3f}",
                "steps": str(config.training.steps),
            }
            model = Model(load_model(folder / "last.ckpt").network, folder.name, provenance)
            scored = score(config, model)
            card = model_card(folder.name, genome, recipe, curve, scored)
            save_pretrained(model, folder, card)  # the weights last: they mark a finished training
            tracker.trained(model_path, folder.name, provenance)
        self.report(f"{model_path}: {curve[-1].psnr:.2f} dB on the validation images")
        return TrainedModel(name, genome, folder, tuple(curve), scored)

    def _kept_recipe(self, genome: Genome, folder: Path) -> dict[str, Any]:
        """Return the recipe, which is stored in the folder.

        Raises:
            UserError: the folder has another recipe.
        """
        from falsr_nas.training.full_training import keep_recipe

        recipe = recipe_of(self.config, genome)
        keep_recipe(folder, recipe)
        return recipe

    @contextmanager
    def _training(
        self, genome: Genome, recipe: dict[str, Any], folder: Path
    ) -> Iterator[tuple[TrainingTracker, Callable[[int], list[CurvePoint]]]]:
        """Give a tracker, and a function that trains to an epoch and returns the curve so far.

        No other process may train into the folder meanwhile.
        """
        from falsr_nas.core.lock import exclusive
        from falsr_nas.tracking.progress import LiveLine
        from falsr_nas.tracking.trackers import open_training_tracker
        from falsr_nas.training.full_training import train_fully

        config = self.config
        start = None if config.start_from is None else start_weights(config.start_from, genome)
        search = None if config.run_dir is None else Path(config.run_dir).expanduser()
        about = {"genome": str(genome), **recipe}
        with (
            exclusive(folder, setting="output", lock=".lock"),
            open_training_tracker(config.tracking, folder, about, search) as tracker,
            LiveLine("waiting for the first validation", quiet=not self.progress) as shown,
        ):

            def on_point(point: CurvePoint, steps: int, images: Strip) -> None:
                shown.validated(point.step, steps, point.psnr, point.seconds)
                metrics = {
                    "psnr": point.psnr,
                    "loss": point.loss,
                    "learning_rate": point.learning_rate,
                }
                known = {name: value for name, value in metrics.items() if value is not None}
                tracker.validated(known, point.step, images)

            def run(epochs: int) -> list[CurvePoint]:
                return train_fully(
                    genome,
                    config.training,
                    self.data,
                    trainer_settings=config.trainer,
                    seed=config.seed,
                    folder=folder,
                    on_point=on_point,
                    start=start,
                    epochs=epochs,
                    rungs=config.rungs.epochs,
                )

            yield tracker, run


def start_weights(path: str, genome: Genome) -> dict[str, Tensor]:
    """Return the weights of stem and cells of a model, for a network of the same stem and cells.

    Raises:
        UserError: the model cannot be read, or has a different stem or cells.
    """
    from falsr_nas.models.model_file import load_model
    from falsr_nas.networks.network import BilinearResidual, Network, body_weights

    network = load_model(Path(path).expanduser()).network
    if isinstance(network, BilinearResidual):
        network = network.network
    if not isinstance(network, Network) or not network.genome.has_body_of(genome):
        raise UserError(f"start_from: {path} has a different stem or cells than {genome}")
    return body_weights(network)


def score(config: TrainConfig, model: Model) -> ModelScore | None:
    """Score a model on the benchmark sets of the config, under ``standard``."""
    if config.benchmark_root is None:
        return None
    from falsr_nas.benchmark.protocol import ScoringProtocol
    from falsr_nas.benchmark.scoring import score_model
    from falsr_nas.benchmark.sets import benchmark_sets

    sets = benchmark_sets(Path(config.benchmark_root).expanduser(), config.sets)
    return score_model(model, sets, ScoringProtocol.standard)
