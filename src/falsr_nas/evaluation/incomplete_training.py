"""Scores candidates by a short training (paper, V: incomplete training)."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace

import torch
from pytorch_lightning import Callback

from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Score
from falsr_nas.core.running_time import RunningTime
from falsr_nas.core.turns import working
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import PhotoDegradation
from falsr_nas.evaluation.evaluator import evaluation_seed
from falsr_nas.evaluation.memory import free_memory, limit_growth
from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.module import SuperResolution
from falsr_nas.training.trainer import TakesTurns, plain_trainer, quiet_lightning, shared_batches

SECONDS = 1.2
"""Time for the measurement of a latency; slow networks take longer. Our choice."""

_DIVERGED = Failure(FailureKind.DIVERGED, "the loss or the output became NaN or infinite")


class IncompleteTraining:
    """Trains each candidate and scores it on the validation images.

    With several ``devices`` this is one of as many processes. Each was started with its rank in its
    environment (``execution/group.py``), gets the same candidates, and returns the same score.
    """

    def __init__(self, settings: IncompleteTrainingSettings, context: EvaluationContext) -> None:
        self.settings = settings
        self.training = training = context.training
        self.seed = context.seed
        self.devices = context.devices
        self.profile = context.timed
        degradation = context.degradation
        if isinstance(degradation, PhotoDegradation):  # a short training sees an image a few times
            degradation = replace(degradation, period=None)
        self.data = SuperResolutionData(
            context.data,
            batch_size=training.batch_size,
            patch_size=training.patch_size,
            steps_per_epoch=training.steps_per_epoch,
            scale=context.scale,
            degradation=degradation,
        )

    def prepare(self) -> None:
        """Decode the images, once for all candidates.

        Raises:
            DataError: images cannot be used, or a batch cannot be shared by the devices.
            UserError: candidates cannot be timed on this device.
        """
        if self.profile is not None:
            from falsr_nas.profiling.device import Stopwatch, check_device

            self.stopwatch = Stopwatch(
                check_device(self.profile), self.profile.reference, self.profile.reference_ms
            )
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        with working():  # other workers may already time their first candidates
            self.data.setup()
            self.data.batches(torch.Generator(), 0, self.devices)
            limit_growth()

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        """Train the candidate's network, and validate it."""
        try:
            return self._outcome(candidate)
        finally:
            free_memory()

    def _outcome(self, candidate: Candidate) -> Score | Failure:
        clock = RunningTime()
        # Processes that train a network together would wait for each other's turns.
        with ExitStack() as turns:
            alternates = self.profile is not None and self.devices == 1
            module = self._train(
                candidate, [turns.enter_context(TakesTurns())] if alternates else []
            )
        if module.diverged or math.isnan(module.psnr):
            return _DIVERGED
        score = self._timed(candidate, Score(module.mse, module.psnr, 0.0, self.training.steps))
        return replace(score, seconds=clock())

    def _timed(self, candidate: Candidate, score: Score) -> Score:
        """Add the latency of the candidate's network, where the search wants it measured."""
        if self.profile is None:
            return score
        measured, unit = self.stopwatch.time(candidate.genome, SECONDS), self.profile.reference_ms
        return replace(score, latency=unit * measured.ratio, latency_spread=unit * measured.spread)

    def _train(self, candidate: Candidate, callbacks: list[Callback]) -> SuperResolution:
        training = self.training
        seed = evaluation_seed(self.seed, candidate.key)
        trainer = plain_trainer(
            max_epochs=training.epochs,
            accelerator="auto",
            devices=self.devices,
            strategy=shared_batches(self.devices),
            limit_val_batches=0,
            callbacks=callbacks,
        )
        common = evaluation_seed(self.seed, "common")
        network = initialized_network(
            candidate.genome, training.initialization, training.zero_output, seed
        )
        patches = common if self.settings.common_patches else seed
        module = SuperResolution(network, training, self.data, patches)
        with quiet_lightning():
            trainer.fit(module, datamodule=self.data)
            if not module.diverged:
                trainer.limit_val_batches = 1.0
                trainer.validate(module, datamodule=self.data, verbose=False)
        return module
