"""Full trainings of networks: of a search's best, or of a given one."""

from __future__ import annotations

from pathlib import Path

from falsr_nas.benchmark.sets import benchmark_sets
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_plugins
from falsr_nas.data.sources import find_images
from falsr_nas.space.cell import other_cells
from falsr_nas.space.genome import Genome
from falsr_nas.space.lookup import find_genome, published_name
from falsr_nas.train.config import TrainConfig, output_folder
from falsr_nas.train.network import NetworkTrainer, Report, TrainedModel, start_weights
from falsr_nas.train.rungs import best_at_rungs

__all__ = ["TrainConfig", "TrainedModel", "choose", "train"]


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
    load_plugins(config.plugins)
    chosen = choose(config)
    scale = chosen[0][1].scale  # all networks of a search have the same
    # Mistakes are reported before anything is trained, most of them before torch is loaded.
    find_images(config.data, scale)
    if config.benchmark_root is not None:
        benchmark_sets(Path(config.benchmark_root).expanduser(), config.sets)
    from falsr_nas.core.interruption import Interrupted, interruptible
    from falsr_nas.data.datamodule import SuperResolutionData

    if config.start_from is not None:
        for _, genome in chosen:
            start_weights(config.start_from, genome)
    if cells := other_cells(cell for _, genome in chosen for cell in genome.cells):
        from falsr_nas.networks.operator_check import check_operators

        check_operators(cells)
    settings = config.training
    data = SuperResolutionData(
        config.data,
        batch_size=settings.batch_size,
        patch_size=settings.patch_size,
        steps_per_epoch=settings.steps_per_epoch,
        scale=scale,
    )
    data.setup()
    trainer = NetworkTrainer(config, data, progress=progress, report=report)
    trained = []
    try:
        with interruptible():
            chosen = best_at_rungs(trainer, chosen)
            for place, (name, genome) in enumerate(chosen, start=1):
                trainer.show(f"{place} of {len(chosen)}: {name}")
                trained.append(trainer.finish(name, genome))
            link = point_to_best(output_folder(config))
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
    return [(_name(network.candidate.genome), network.candidate.genome) for network in chosen]


def point_to_best(output: Path) -> Path:
    """Link ``best`` to the trained model of the highest validation PSNR, and return the link.

    Models in the folder that were not trained here have no such PSNR and come last.

    Raises:
        UserError: the disk has no links, or a folder of that name is there.
    """
    from falsr_nas.models.names import WEIGHTS
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


def _name(genome: Genome) -> str:
    return published_name(genome) or genome.key[:12]
