"""Full trainings of networks: of a search's best, or of a given one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import keep_sources, load_plugins, loaded_plugins
from falsr_nas.space.cell import from_plugins, other_cells
from falsr_nas.space.genome import Genome
from falsr_nas.space.lookup import find_genome, published_name
from falsr_nas.train.config import TrainConfig, output_folder, recipe_of

if TYPE_CHECKING:
    from torch import Tensor

    from falsr_nas.benchmark.scoring import ModelScore
    from falsr_nas.data.datamodule import SuperResolutionData
    from falsr_nas.models.model_file import Model
    from falsr_nas.tracking.tracker import TrainingTracker
    from falsr_nas.training.full_training import CurvePoint

__all__ = ["TrainConfig", "TrainedModel", "choose", "train"]


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
    curve: tuple[CurvePoint, ...]
    score: ModelScore | None = None


Report = Callable[[str], None]


def train(
    config: TrainConfig, *, progress: bool = False, report: Report = lambda line: None
) -> tuple[TrainedModel, ...]:
    """Train the chosen networks one after the other; those that are finished are not trained again.

    With ``rungs``, all are trained to the first rung, the best of them to the next, and so on.

    Args:
        config: the settings.
        progress: whether to show the progress on standard error.
        report: called with a line about each trained model, and about each network at a rung.

    Returns:
        The trained models by ascending cost. The link ``best`` in the output folder points to
        the one of the highest validation PSNR.

    Raises:
        UserError: for a mistake that the user can correct.
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the same call continues from the last validation.
    """
    from falsr_nas.benchmark.scoring import benchmark_sets
    from falsr_nas.core.interruption import Interrupted, interruptible
    from falsr_nas.data.datamodule import SuperResolutionData

    load_plugins(config.plugins)
    chosen = choose(config)
    # Mistakes are reported before anything is trained.
    if config.benchmark_root is not None:
        benchmark_sets(Path(config.benchmark_root).expanduser(), config.sets)
    if config.start_from is not None:
        for _, genome in chosen:
            start_weights(config.start_from, genome)
    if cells := other_cells(cell for _, genome in chosen for cell in genome.cells):
        from falsr_nas.networks.operator_check import check_operators

        check_operators(cells)
    output = output_folder(config)
    settings = config.training
    data = SuperResolutionData(
        config.data,
        batch_size=settings.batch_size,
        patch_size=settings.patch_size,
        steps_per_epoch=settings.steps_per_epoch,
        scale=chosen[0][1].scale,  # all networks of a search have the same
    )
    data.setup()
    trained = []
    try:
        with interruptible():
            counts = config.rungs.counts(len(chosen))
            for epochs, count in zip(config.rungs.epochs, counts, strict=True):
                chosen = best_at_rung(
                    config, chosen, data, epochs, count, progress=progress, report=report
                )
            for place, (name, genome) in enumerate(chosen, start=1):
                if progress:
                    print(f"{place} of {len(chosen)}: {name}", file=sys.stderr)
                one = train_one(
                    config, name, genome, data, output / name, progress=progress, report=report
                )
                trained.append(one)
            link = point_to_best(output)
            report(f"{link}: {link.resolve().name}")
    except Interrupted:
        raise KeyboardInterrupt from None
    return tuple(trained)


def choose(config: TrainConfig) -> list[tuple[str, Genome]]:
    """Choose the networks to train; each comes with the name of its folder.

    Raises:
        UserError: there is no such search or genome, or none of its networks is feasible.
    """
    if config.genome is not None:
        genome = find_genome(config.genome)
        return [(_name(genome), genome)]
    from falsr_nas.archive.folders import STORE, search_in
    from falsr_nas.archive.store import Store
    from falsr_nas.objectives.fresh import reported_evaluations
    from falsr_nas.objectives.problem import stored_problem
    from falsr_nas.objectives.selection import select

    assert config.run_dir is not None, "checked when the config was made"
    with Store(search_in(Path(config.run_dir).expanduser()) / STORE) as store:
        problem = stored_problem(store)
        evaluations = reported_evaluations(store, problem)
        chosen = select(evaluations, config.select, config.n, problem)
    return [(_name(one.candidate.genome), one.candidate.genome) for one in chosen]


def best_at_rung(
    config: TrainConfig,
    networks: list[tuple[str, Genome]],
    data: SuperResolutionData,
    epochs: int,
    count: int,
    *,
    progress: bool,
    report: Report,
) -> list[tuple[str, Genome]]:
    """Train networks to a rung and return those of the highest validation PSNR, in their order.

    Args:
        config: the settings.
        networks: names and genomes.
        data: the images.
        epochs: from the start to the rung.
        count: how many are returned.
        progress: whether to show the progress on standard error.
        report: called with a line about each network.

    Raises:
        UserError: a network was trained further before, and not validated at the rung.
    """
    from falsr_nas.training.full_training import psnr_at

    output, step = output_folder(config), epochs * config.training.steps_per_epoch
    psnr = {}
    for place, (name, genome) in enumerate(networks, start=1):
        if progress:
            print(f"to epoch {epochs}, {place} of {len(networks)}: {name}", file=sys.stderr)
        folder = output / name
        recipe = _kept_recipe(config, genome, folder)
        with _training(config, genome, recipe, data, folder, progress=progress) as (_, run):
            value = psnr_at(run(epochs), step)
        if value is None:
            raise UserError(
                f"{folder} was trained without a rung at epoch {epochs} and not validated"
                " there: give the rungs that it was trained with, or another output"
            )
        psnr[name] = value
    best = sorted(psnr, key=lambda name: -psnr[name])[:count]
    for name, value in psnr.items():
        then = "is trained on" if name in best else "is not trained on"
        report(f"{output / name}: {value:.3f} dB at epoch {epochs}, {then}")
    return [(name, genome) for name, genome in networks if name in best]


def train_one(
    config: TrainConfig,
    name: str,
    genome: Genome,
    data: SuperResolutionData,
    folder: Path,
    *,
    progress: bool,
    report: Report,
) -> TrainedModel:
    """Train a network into its folder: checkpoint and curve, then the model and its card."""
    from falsr_nas.models.model_file import WEIGHTS, Model, load_model
    from falsr_nas.models.pretrained import save_pretrained
    from falsr_nas.train.model_card import model_card
    from falsr_nas.training.full_training import stored_curve

    recipe = _kept_recipe(config, genome, folder)
    needed = from_plugins(genome.cells)
    keep_sources(folder, [one for one in loaded_plugins() if one.name in needed])
    model_path = folder / WEIGHTS
    if model_path.exists():
        if progress:
            print(f"{folder} is trained already", file=sys.stderr)
        return TrainedModel(name, genome, folder, tuple(stored_curve(folder / "last.ckpt")))
    with _training(config, genome, recipe, data, folder, progress=progress) as (tracker, run):
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
    report(f"{model_path}: {curve[-1].psnr:.2f} dB on the validation images")
    return TrainedModel(name, genome, folder, tuple(curve), scored)


def _kept_recipe(config: TrainConfig, genome: Genome, folder: Path) -> dict[str, Any]:
    """Return the recipe, which is stored in the folder. Raises UserError if it has another one."""
    from falsr_nas.training.full_training import keep_recipe

    recipe = recipe_of(config, genome)
    keep_recipe(folder, recipe)
    return recipe


@contextmanager
def _training(
    config: TrainConfig,
    genome: Genome,
    recipe: dict[str, Any],
    data: SuperResolutionData,
    folder: Path,
    *,
    progress: bool,
) -> Iterator[tuple[TrainingTracker, Callable[[int], list[CurvePoint]]]]:
    """Give a tracker, and a function that trains to an epoch and returns the curve so far.

    No other process may train into the folder meanwhile.
    """
    from falsr_nas.core.lock import exclusive
    from falsr_nas.tracking.progress import TrainingProgress
    from falsr_nas.tracking.tracker import open_training_tracker
    from falsr_nas.training.full_training import train_fully

    start = None if config.start_from is None else start_weights(config.start_from, genome)
    tracking = config.tracking
    if config.run_dir is not None and tracking.group is None:
        search = Path(config.run_dir).expanduser().resolve().name
        tracking = replace(tracking, group=search)
    with (
        exclusive(folder, setting="output", lock=".lock"),
        open_training_tracker(tracking, folder, {"genome": str(genome), **recipe}) as tracker,
        TrainingProgress() if progress else nullcontext() as shown,
    ):

        def on_point(point: CurvePoint, steps: int) -> None:
            if shown is not None:
                shown.show(point.step, steps, point.psnr, point.seconds)
            tracker.validated(point.psnr, point.step)

        def run(epochs: int) -> list[CurvePoint]:
            return train_fully(
                genome,
                config.training,
                data,
                trainer_settings=config.trainer,
                seed=config.seed,
                folder=folder,
                on_point=on_point,
                start=start,
                epochs=epochs,
                rungs=config.rungs.epochs,
            )

        yield tracker, run


def point_to_best(output: Path) -> Path:
    """Link ``best`` to the trained model of the highest validation PSNR, and return the link.

    Models in the folder that were not trained here have no such PSNR and come last.

    Raises:
        UserError: the disk has no links, or a folder of that name is there.
    """
    from falsr_nas.models.model_file import WEIGHTS
    from falsr_nas.models.pretrained import from_pretrained

    def psnr(folder: Path) -> float:
        return float(from_pretrained(folder).provenance.get("validation_psnr", "-inf"))

    trained = [path.parent for path in output.glob(f"*/{WEIGHTS}") if not path.parent.is_symlink()]
    draft, link = output / ".best", output / "best"
    try:
        draft.unlink(missing_ok=True)
        draft.symlink_to(max(trained, key=psnr).name)
        return draft.replace(link)
    except OSError as error:
        raise UserError(
            f"the networks are trained, but {link} cannot be made: {error.strerror or error}"
        ) from error


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
    from falsr_nas.benchmark.scoring import benchmark_sets, score_model

    sets = benchmark_sets(Path(config.benchmark_root).expanduser(), config.sets)
    return score_model(model, sets, ScoringProtocol.standard)


def _name(genome: Genome) -> str:
    return published_name(genome) or genome.key[:12]
