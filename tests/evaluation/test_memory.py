"""A worker that trains one network after the other does not grow."""

import multiprocessing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falsr_nas.archive.candidate import Candidate, Origin, Score
from falsr_nas.data.settings import FolderSettings
from falsr_nas.evaluation.incomplete_training import IncompleteTraining
from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
from falsr_nas.execution.memory import resident_memory
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.settings import TrainingSettings

TINY = TrainingSettings(epochs=1, steps_per_epoch=1, batch_size=2, patch_size=8)
WARM = 20
"""Candidates until a worker has loaded what it needs, and has seen most shapes."""


@pytest.mark.parametrize(
    "candidates", [40, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_a_worker_grows_by_less_than_5_percent(tmp_path: Path, candidates: int) -> None:
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        pixels = np.random.default_rng(len(folder)).integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / "0.png")
    data = FolderSettings(
        train_dirs=(str(tmp_path / "train"),), val_dir=str(tmp_path / "val"), val_crop=64
    )
    make = partial(
        IncompleteTraining, IncompleteTrainingSettings(), EvaluationContext(TINY, data, 1)
    )
    space, rng, held = SearchSpace(), np.random.default_rng(3), []
    with ProcessesExecutor(ProcessesSettings(workers=1), make) as executor:
        [worker] = multiprocessing.active_children()
        while len(held) < WARM + candidates:
            genome = space.sample(rng)
            cost = genome_cost(genome)
            if cost.mult_adds > 60e9:
                continue
            executor.submit(
                Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, len(held))
            )
            assert isinstance(executor.collect().outcome, Score)
            assert worker.pid is not None
            held.append(resident_memory(worker.pid))
    assert max(held[WARM:]) < 1.05 * held[WARM - 1], [
        round(gib, 3) for gib in held[:: len(held) // 20]
    ]
