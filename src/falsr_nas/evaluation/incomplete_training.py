"""Scores candidates by a short training (paper, V: incomplete training)."""

from __future__ import annotations

import math
import time

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Score
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import DataSettings
from falsr_nas.evaluation.evaluator import evaluation_seed
from falsr_nas.evaluation.memory import free_memory, limit_growth
from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
from falsr_nas.training.distributed import SharedBatches
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.module import SuperResolution
from falsr_nas.training.settings import TrainingSettings
from falsr_nas.training.trainer import plain_trainer, quiet_lightning


class IncompleteTraining:
    """Trains each candidate and scores it on the validation images.

    With several ``devices`` this is one of as many processes. Each was started with its rank in its
    environment (``execution/group.py``), gets the same candidates, and returns the same score.
    """

    def __init__(
        self,
        settings: IncompleteTrainingSettings,
        training: TrainingSettings,
        data: DataSettings,
        seed: int,
        devices: int = 1,
    ) -> None:
        self.settings = settings
        self.training = training
        self.seed = seed
        self.devices = devices
        self.data = SuperResolutionData(
            data,
            batch_size=training.batch_size,
            patch_size=training.patch_size,
            steps_per_epoch=training.steps_per_epoch,
        )

    @classmethod
    def of(
        cls, settings: IncompleteTrainingSettings, context: EvaluationContext
    ) -> IncompleteTraining:
        """Make the evaluator of a search."""
        return cls(settings, context.training, context.data, context.seed, context.devices)

    def prepare(self) -> None:
        """Decode the images, once for all candidates.

        Raises:
            DataError: images cannot be used, or a batch cannot be shared by the devices.
        """
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        self.data.setup()
        self.data.batches(torch.Generator(), 0, self.devices)
        limit_growth()

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        """Train the candidate's network and validate it."""
        try:
            return self._outcome(candidate)
        finally:
            free_memory()

    def _outcome(self, candidate: Candidate) -> Score | Failure:
        began = time.perf_counter()
        module = self._train(candidate)
        if module.diverged or math.isnan(module.psnr):
            return Failure(FailureKind.DIVERGED, "the loss or the output became NaN or infinite")
        return Score(module.mse, module.psnr, time.perf_counter() - began)

    def _train(self, candidate: Candidate) -> SuperResolution:
        training, seed = self.training, evaluation_seed(self.seed, candidate.key)
        trainer = plain_trainer(
            max_epochs=training.epochs,
            accelerator="auto",
            devices=self.devices,
            # Lightning launches no process where LOCAL_RANK is set, and keeps the process group
            # for the next candidate.
            strategy="auto"
            if self.devices == 1
            else SharedBatches(cluster_environment=LightningEnvironment()),
            limit_val_batches=0,
        )
        common, settings = evaluation_seed(self.seed, "common"), self.settings
        network = initialized_network(
            candidate.genome,
            training.initialization,
            training.zero_output,
            common if settings.common_weights else seed,
            shared=settings.common_weights,
        )
        patches = common if settings.common_patches else seed
        module = SuperResolution(network, training, self.data, patches)
        with quiet_lightning():
            trainer.fit(module, datamodule=self.data)
            if not module.diverged:
                trainer.limit_val_batches = 1.0
                trainer.validate(module, datamodule=self.data, verbose=False)
        return module
