"""Full trainings in worker processes: several networks at a time, or each on several devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from falsr_nas.archive.candidate import Candidate, Failure, Origin, Score
from falsr_nas.core.errors import SearchError, UserError
from falsr_nas.core.processor import usable_cores
from falsr_nas.data.identity import KnownImage
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.execution.devices import visible_gpus
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.models.names import WEIGHTS
from falsr_nas.space.cost import genome_cost
from falsr_nas.train.config import TrainConfig
from falsr_nas.train.network import Chosen, NetworkTrainer, Report, training_data


class FullTraining:
    """Trains networks fully, each into its folder: the evaluator of a worker process.

    With several devices this is one of as many processes, of which that of rank 0 writes the files.

    Args:
        config: the settings.
        scale: upscaling factor of the networks.
        threads: processor threads of each training.
        epochs: to train to; None for the whole recipe.
        images: what identifies the images.
        progress: whether to show the progress on standard error.
    """

    def __init__(  # noqa: PLR0917
        self,
        config: TrainConfig,
        scale: int,
        threads: int,
        epochs: int | None,
        images: Sequence[KnownImage],
        progress: bool,
    ) -> None:
        self.config, self.scale, self.threads = config, scale, threads
        self.epochs, self.images, self.progress = epochs, images, progress

    def prepare(self) -> None:
        """Decode the images, once for all networks."""
        import torch

        torch.set_num_threads(self.threads)
        data = training_data(self.config, self.scale)
        self.trainer = NetworkTrainer(self.config, data, self.images, self.progress)

    def evaluate(self, candidate: Candidate) -> Score:
        """Train a network."""
        chosen = Chosen(candidate.genome, candidate.repeat)
        if self.config.trainer.devices > 1 and os.environ["LOCAL_RANK"] != "0":
            epochs = self.config.training.epochs if self.epochs is None else self.epochs
            point = self.trainer.train_with(chosen, epochs)[-1]
        elif self.epochs is not None:
            point = self.trainer.train_to(chosen, self.epochs)[-1]
        else:
            point = self.trainer.finish(chosen).curve[-1]
        return Score(mse_from_psnr(point.psnr), point.psnr, point.seconds, point.step)


def train_in_workers(
    trainer: NetworkTrainer, networks: Sequence[Chosen], epochs: int | None, report: Report
) -> None:
    """Train networks in ``config.workers`` processes, or groups of ``config.trainer.devices``.

    Nothing is done where this process can train them, or for those whose models are written.

    Args:
        trainer: has the settings, and knows the images.
        networks: the networks, of one scale.
        epochs: to train to; None for the whole recipe, after which the models are written.
        report: called with a line about each network.

    Raises:
        UserError: for a mistake that the user can correct.
        SearchError: a training failed; the others are kept, and the same call continues.
    """
    config = trainer.config
    devices, accelerator = config.trainer.devices, config.trainer.accelerator
    networks = [one for one in networks if not (one.folder(config) / WEIGHTS).exists()]
    if not networks or config.workers == devices == 1:
        return
    import torch

    trainer.data.batches(torch.Generator(), 0, devices)  # reports what they cannot share
    gpus = [] if accelerator == "cpu" else visible_gpus()
    if gpus and len(gpus) < devices:
        raise UserError(f"trainer.devices is {devices}, but this machine has {len(gpus)} GPU(s)")
    threads = max(1, usable_cores() // (config.workers * devices))
    progress = trainer.progress and config.workers == 1
    scale = networks[0].genome.scale
    evaluator = partial(FullTraining, config, scale, threads, epochs, trainer.images, progress)
    settings = ProcessesSettings(
        workers=min(config.workers, len(networks)), devices_per_candidate=devices
    )
    with ProcessesExecutor(settings, evaluator, gpus) as executor:
        for number, chosen in enumerate(networks):
            cost = genome_cost(chosen.genome)
            executor.submit(
                Candidate(chosen.genome, cost, Origin(()), 0, number, repeat=chosen.repeat)
            )
        for _ in networks:
            evaluation = executor.collect()
            candidate, outcome = evaluation.candidate, evaluation.outcome
            name = Chosen(candidate.genome, candidate.repeat).name(config)
            if isinstance(outcome, Failure):
                raise SearchError(f"{name}: {outcome.message}\n{outcome.traceback}".rstrip())
            report(f"{name}: {outcome.psnr:.3f} dB after {outcome.steps:,} steps")
