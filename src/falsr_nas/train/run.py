"""Full trainings of networks: of a search's best, or of a given one."""

from __future__ import annotations

import logging
import math
import secrets
from dataclasses import replace
from pathlib import Path

from falsr_nas.benchmark.sets import benchmark_sets
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_plugins
from falsr_nas.data.identity import known_images
from falsr_nas.space.cell import other_cells
from falsr_nas.space.lookup import find_genome
from falsr_nas.train.config import TrainConfig, output_folder
from falsr_nas.train.network import (
    Chosen,
    NetworkTrainer,
    Report,
    TrainedModel,
    start_weights,
    training_data,
)
from falsr_nas.train.rungs import best_at_rungs
from falsr_nas.train.workers import train_in_workers

__all__ = ["TrainConfig", "TrainedModel", "choose", "train"]

_log = logging.getLogger(__name__)


def train(
    config: TrainConfig, *, progress: bool = False, report: Report = lambda line: None
) -> tuple[TrainedModel, ...]:
    """Train the chosen networks; those that are finished are not trained again.

    With ``rungs``, all are trained to the first rung, the best of them to the next, and so on. With
    ``workers``, several are trained at a time.

    Args:
        config: the settings.
        progress: whether to show the progress on standard error.
        report: called with a line about each trained model, and about each network at a rung.

    Returns:
        The trained models by ascending cost. The link ``best`` in the output folder points to
        the one of the highest validation PSNR.

    Raises:
        UserError: for a mistake that the user can correct.
        SearchError: a training in a worker process failed.
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the same call continues from the last validation.
    """
    load_plugins(config.plugins)
    chosen = choose(config)
    genomes = [one.genome for one in chosen]
    scale = genomes[0].scale  # all networks of a search have the same
    # Mistakes are reported before anything is trained, most of them before torch is loaded.
    images = known_images(config.data, scale, chosen[0].folder(config))
    if config.benchmark_root is not None:
        benchmark_sets(Path(config.benchmark_root), config.sets)
    from falsr_nas.core.interruption import Interrupted, interruptible

    if config.start_from is not None:
        for genome in genomes:
            start_weights(config.start_from, genome)
    if cells := other_cells(cell for genome in genomes for cell in genome.cells):
        from falsr_nas.networks.operator_check import check_operators

        check_operators(cells)
    data = training_data(config, scale)
    trainer = NetworkTrainer(config, data, images, progress, report)
    trained = []
    try:
        with interruptible():
            chosen = best_at_rungs(trainer, chosen)
            chosen = [replace(one, repeat=i) for one in chosen for i in range(config.seeds)]
            train_in_workers(trainer, chosen, None, report)
            for place, one in enumerate(chosen, start=1):
                trainer.show(f"{place} of {len(chosen)}: {one.name(config)}")
                trained.append(trainer.finish(one))
            link = point_to_best(output_folder(config))
            report(f"{link}: {link.resolve().name}")
    except Interrupted:
        raise KeyboardInterrupt from None
    return tuple(trained)


def choose(config: TrainConfig) -> list[Chosen]:
    """Choose the networks to train.

    Raises:
        UserError: there is no such search or genome, or none of its networks is feasible.
    """
    if config.genome is not None:
        return [Chosen(find_genome(config.genome))]
    from falsr_nas.archive.folders import STORE, search_in
    from falsr_nas.archive.store import Store
    from falsr_nas.objectives.problem import stored_problem
    from falsr_nas.objectives.selection import select

    assert config.run_dir is not None, "checked when the config was made"
    with Store(search_in(Path(config.run_dir)) / STORE) as store:
        problem = stored_problem(store)
        chosen = select(store.evaluations(), config.select, config.n, problem)
    return [Chosen(network.candidate.genome, evaluation=network) for network in chosen]


def point_to_best(output: Path) -> Path:
    """Link ``best`` to the trained model of the highest validation PSNR, and return the link.

    Models in the folder that were not trained here, or cannot be read, have no such PSNR and come
    last.

    Raises:
        UserError: the disk has no links, or a folder of that name is there.
    """
    from falsr_nas.models.names import WEIGHTS
    from falsr_nas.models.pretrained import from_pretrained

    def psnr(folder: Path) -> float:
        try:
            return float(from_pretrained(folder).provenance.get("validation_psnr", "-inf"))
        except (UserError, ValueError) as error:
            _log.warning("%s is not compared with the others: %s", folder, error)
            return -math.inf

    trained = [path.parent for path in output.glob(f"*/{WEIGHTS}") if not path.parent.is_symlink()]
    # Of its own: another training may end at the same moment.
    draft, link = output / f".best.{secrets.token_hex(8)}", output / "best"
    try:
        draft.symlink_to(max(trained, key=psnr).name)
        return draft.replace(link)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UserError(
            f"the networks are trained, but {link} cannot be made: {error.strerror or error}"
        ) from error
