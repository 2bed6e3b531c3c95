"""The full training of a network into its folder: checkpoint and curve, then model and card."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import keep_sources, loaded_plugins
from falsr_nas.data.identity import KnownImage, compared, keep
from falsr_nas.space.cell import from_plugins
from falsr_nas.space.genome import Genome
from falsr_nas.space.lookup import published_name
from falsr_nas.train.config import TrainConfig, output_folder, recipe_of

if TYPE_CHECKING:
    from torch import Tensor

    from falsr_nas.archive.candidate import Evaluation
    from falsr_nas.benchmark.scoring import ModelScore
    from falsr_nas.data.datamodule import SuperResolutionData
    from falsr_nas.models.model import Model
    from falsr_nas.tracking.tracker import TrainingTracker
    from falsr_nas.training.full_training import CurvePoint, OnPoint
    from falsr_nas.training.strip import Strip

Report = Callable[[str], None]


@dataclass(frozen=True)
class Chosen:
    """A network to train.

    Attributes:
        genome: the network.
        repeat: is added to the seed of the config, 0 for the first training of the network.
        evaluation: of the search that it was chosen from; None for a given network.
    """

    genome: Genome
    repeat: int = 0
    evaluation: Evaluation | None = None

    def config(self, config: TrainConfig) -> TrainConfig:
        """Return a config with the seed of this training."""
        return replace(config, seed=config.seed + self.repeat)

    def name(self, config: TrainConfig) -> str:
        """Return the name of its folder: a published name, or the beginning of the key."""
        name = published_name(self.genome) or self.genome.key[:12]
        return f"{name}-seed{config.seed + self.repeat}" if self.repeat else name

    def folder(self, config: TrainConfig) -> Path:
        """Return the folder that it is trained in."""
        return output_folder(config) / self.name(config)


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
            earlier call or a worker process trained the model.
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
        images: what identifies them.
        progress: whether to show the progress on standard error.
        report: called with a line about each network.
    """

    config: TrainConfig
    data: SuperResolutionData
    images: Sequence[KnownImage] = field(repr=False)
    progress: bool = False
    report: Report = lambda line: None

    def folder(self, chosen: Chosen) -> Path:
        """Return the folder of a network."""
        return chosen.folder(self.config)

    def show(self, line: str) -> None:
        """Print a line to standard error if the progress is shown."""
        if self.progress:
            print(line, file=sys.stderr)

    def train_to(self, chosen: Chosen, epochs: int) -> list[CurvePoint]:
        """Train a network to an epoch, and return its curve; it may have been trained further."""
        folder = self.folder(chosen)
        recipe = self._kept_recipe(chosen, folder)
        with self._training(chosen, recipe, folder) as (_, run):
            return run(epochs)

    def finish(self, chosen: Chosen) -> TrainedModel:
        """Train a network to the end, unless that was done before, and write the model."""
        from falsr_nas.models.model import Model
        from falsr_nas.models.model_file import load_model
        from falsr_nas.models.names import WEIGHTS
        from falsr_nas.models.pretrained import save_pretrained
        from falsr_nas.train.model_card import model_card
        from falsr_nas.training.full_training import stored_curve

        config, genome, folder = self.config, chosen.genome, self.folder(chosen)
        recipe = self._kept_recipe(chosen, folder)
        needed = from_plugins(genome.cells)
        keep_sources(folder, [plugin for plugin in loaded_plugins() if plugin.name in needed])
        model_path = folder / WEIGHTS
        if model_path.exists():
            self.show(f"{folder} is trained already")
            return TrainedModel(
                folder.name, genome, folder, tuple(stored_curve(folder / "last.ckpt"))
            )
        with self._training(chosen, recipe, folder) as (tracker, run):
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
        return TrainedModel(folder.name, genome, folder, tuple(curve), scored)

    def _kept_recipe(self, chosen: Chosen, folder: Path) -> dict[str, Any]:
        """Return the recipe, which is stored in the folder.

        Raises:
            UserError: the folder has another recipe, or other images.
        """
        from falsr_nas.training.full_training import keep_recipe

        recipe = recipe_of(chosen.config(self.config), chosen.genome)
        keep_recipe(folder, recipe, compared(folder, self.images, self.config.data))
        keep(folder, self.images)
        return recipe

    @contextmanager
    def _training(
        self, chosen: Chosen, recipe: dict[str, Any], folder: Path
    ) -> Iterator[tuple[TrainingTracker, Callable[[int], list[CurvePoint]]]]:
        """Give a tracker, and a function that trains to an epoch and returns the curve so far.

        No other process may train into the folder meanwhile.
        """
        from falsr_nas.core.lock import exclusive
        from falsr_nas.tracking.progress import LiveLine
        from falsr_nas.tracking.trackers import open_training_tracker

        config = chosen.config(self.config)
        search = None if config.run_dir is None else Path(config.run_dir)
        about = {"genome": str(chosen.genome), **recipe}
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

            yield tracker, lambda epochs: self.train_with(chosen, epochs, on_point)

    def train_with(
        self, chosen: Chosen, epochs: int, on_point: OnPoint = lambda *_: None
    ) -> list[CurvePoint]:
        """Train a network to an epoch, as one of the processes that do so together.

        That of rank 0 has the folder for itself, and writes all files.
        """
        from falsr_nas.training.full_training import train_fully

        config, genome = chosen.config(self.config), chosen.genome
        start = None if config.start_from is None else start_weights(config.start_from, genome)
        return train_fully(
            genome,
            config.training,
            self.data,
            trainer_settings=config.trainer,
            seed=config.seed,
            folder=self.folder(chosen),
            on_point=on_point,
            start=start,
            epochs=epochs,
            rungs=config.rungs.epochs,
        )


def training_data(config: TrainConfig, scale: int) -> SuperResolutionData:
    """Return the images of a config, decoded, for networks of a scale."""
    from falsr_nas.data.datamodule import SuperResolutionData

    settings = config.training
    data = SuperResolutionData(
        config.data,
        batch_size=settings.batch_size,
        patch_size=settings.patch_size,
        steps_per_epoch=settings.steps_per_epoch,
        scale=scale,
        degradation=config.degradation,
    )
    data.setup()
    return data


def start_weights(path: str, genome: Genome) -> dict[str, Tensor]:
    """Return the weights of stem and cells of a model, for a network of the same stem and cells.

    Raises:
        UserError: the model cannot be read, or has a different stem or cells.
    """
    from falsr_nas.models.model_file import load_model
    from falsr_nas.networks.network import BilinearResidual, Network, body_weights

    network = load_model(Path(path)).network
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

    sets = benchmark_sets(Path(config.benchmark_root), config.sets)
    return score_model(model, sets, ScoringProtocol.standard)
