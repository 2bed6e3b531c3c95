"""Full trainings in worker processes, several networks at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from falsr_nas.archive.candidate import Candidate, Failure, Origin, Score
from falsr_nas.core.errors import SearchError
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.models.names import WEIGHTS
from falsr_nas.space.cost import genome_cost
from falsr_nas.train.config import TrainConfig
from falsr_nas.train.network import Chosen, NetworkTrainer, Report, training_data


class FullTraining:
    """Trains networks fully, each into its folder: the evaluator of a worker process.

    Args:
        config: the settings.
        scale: upscaling factor of the networks.
        threads: processor threads of each training.
        epochs: to train to; None for the whole recipe.
    """

    def __init__(self, config: TrainConfig, scale: int, threads: int, epochs: int | None) -> None:
        self.config, self.scale, self.threads, self.epochs = config, scale, threads, epochs

    def prepare(self) -> None:
        """Decode the images, once for all networks."""
        import torch

        torch.set_num_threads(self.threads)
        self.trainer = NetworkTrainer(self.config, training_data(self.config, self.scale))

    def evaluate(self, candidate: Candidate) -> Score:
        """Train a network."""
        chosen = Chosen(candidate.genome, candidate.repeat)
        if self.epochs is not None:
            point = self.trainer.train_to(chosen, self.epochs)[-1]
        else:
            point = self.trainer.finish(chosen).curve[-1]
        return Score(mse_from_psnr(point.psnr), point.psnr, point.seconds, point.step)


def train_in_workers(
    config: TrainConfig, networks: Sequence[Chosen], epochs: int | None, report: Report
) -> None:
    """Train networks in ``config.workers`` processes, but for those whose models are written.

    Args:
        config: the settings.
        networks: the networks, of one scale.
        epochs: to train to; None for the whole recipe, after which the models are written.
        report: called with a line about each network.

    Raises:
        UserError: for a mistake that the user can correct.
        SearchError: a training failed; the others are kept, and the same call continues.
    """
    networks = [one for one in networks if not (one.folder(config) / WEIGHTS).exists()]
    if not networks:
        return
    threads = max(1, len(os.sched_getaffinity(0)) // config.workers)
    evaluator = partial(FullTraining, config, networks[0].genome.scale, threads, epochs)
    settings = ProcessesSettings(workers=min(config.workers, len(networks)))
    with ProcessesExecutor(settings, evaluator) as executor:
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
