from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from falsr_nas.archive.candidate import (
    Candidate,
    Failure,
    FailureKind,
    Origin,
    Score,
)
from falsr_nas.core.errors import UserError
from falsr_nas.data import refreshing
from falsr_nas.data.settings import FolderSettings, PhotoDegradation, PhotographsSettings
from falsr_nas.evaluation import incomplete_training
from falsr_nas.evaluation.evaluator import attempt
from falsr_nas.evaluation.incomplete_training import IncompleteTraining
from falsr_nas.evaluation.psnr_range import psnr_range
from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.training.module import SuperResolution
from falsr_nas.training.settings import (
    Decay,
    Initialization,
    StepPrecision,
    Target,
    TrainingSettings,
)

SMALL = TrainingSettings(epochs=2, steps_per_epoch=5, batch_size=4, patch_size=12, warmup=0)


def candidate(text: str = "conv_f16_k3_b2_isskip conv_f16_k3_b1_noskip | 0->3") -> Candidate:
    genome = Genome.parse(text)
    return Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, 0)


def evaluator(
    training: TrainingSettings = SMALL,
    seed: int = 1,
    settings: IncompleteTrainingSettings = IncompleteTrainingSettings(),  # noqa: B008
) -> IncompleteTraining:
    context = EvaluationContext(training, PhotographsSettings(val_crop=64), seed)
    made = IncompleteTraining(settings, context)
    made.prepare()
    return made


def psnr(outcome: Score | Failure) -> float:
    assert isinstance(outcome, Score), outcome
    assert outcome.psnr == pytest.approx(10 * np.log10(255**2 / outcome.mse))
    return outcome.psnr


def test_a_score_depends_on_seed_and_genome_alone() -> None:
    first = evaluator()
    one = psnr(first.evaluate(candidate()))
    psnr(first.evaluate(candidate("conv_f32_k1_b1_noskip")))
    assert psnr(first.evaluate(candidate())) == one
    assert psnr(evaluator().evaluate(candidate())) == one
    assert psnr(evaluator(seed=2).evaluate(candidate())) != one


def test_common_random_numbers_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates see the same patches in the same order."""
    begun: list[SuperResolution] = []

    class Recorded(SuperResolution):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            begun.append(self)

    monkeypatch.setattr(incomplete_training, "SuperResolution", Recorded)
    settings = IncompleteTrainingSettings(common_patches=True)
    texts = (
        "conv_f16_k3_b2_isskip conv_f16_k3_b1_noskip",
        "conv_f16_k3_b2_isskip conv_f32_k1_b1_noskip",
    )
    for seed in (1, 1, 2):
        made = evaluator(SMALL, seed, settings)
        for text in texts:
            made.evaluate(candidate(text))
    ends = [module._generator.get_state() for module in begun]
    assert all(torch.equal(ends[0], end) for end in ends[1:4])
    assert not torch.equal(ends[0], ends[4])


def test_training_helps() -> None:
    untrained = replace(SMALL, epochs=1, steps_per_epoch=1, learning_rate=1e-12)
    before = psnr(evaluator(untrained).evaluate(candidate()))
    # Weights averaged over the last steps: those of a single step vary by 0.5 dB, also with bf16.
    trained = replace(
        SMALL, epochs=4, steps_per_epoch=50, learning_rate=5e-4, decay=Decay.constant, ema=0.95
    )
    for seed in (1, 2, 3):
        assert psnr(evaluator(trained, seed).evaluate(candidate())) > before + 0.2


def test_scaled_he_trains_deep_residual_networks_where_he_does_not() -> None:
    cell = "conv_f32_k3_b4_isskip"
    deep = candidate(f"{' '.join([cell] * 5)} | 0->2 0,1->3 0,1,2->4 0,1,2,3->5 0,1,2,3,4->6")
    recipe = replace(SMALL, epochs=1, steps_per_epoch=100, warmup=10, precision=StepPrecision.fp32)
    he, scaled = (
        psnr(evaluator(replace(recipe, initialization=initialization)).evaluate(deep))
        for initialization in (Initialization.he, Initialization.scaled_he)
    )
    assert scaled > he + 0.1


def test_an_untrained_residual_scores_as_bilinear_interpolation_does() -> None:
    made = evaluator(replace(SMALL, epochs=1, steps_per_epoch=1, learning_rate=1e-12))
    errors = []
    for low, high in made.data.val_dataloader():
        bilinear = torch.nn.functional.interpolate(
            low, scale_factor=2, mode="bilinear", align_corners=False
        )
        difference = (219 * (bilinear - high))[..., 2:-2, 2:-2].numpy().astype(np.float64)
        errors += list((difference**2).mean(axis=(1, 2, 3)))
    outcome = made.evaluate(candidate())
    assert isinstance(outcome, Score)
    assert outcome.mse == pytest.approx(np.mean(errors), rel=1e-5)


def test_a_diverged_training_stops_at_once() -> None:
    wild = replace(
        SMALL,
        epochs=10_000,
        learning_rate=1e30,
        target=Target.image,
        initialization=Initialization.normal,
        zero_output=False,
    )
    outcome = evaluator(wild).evaluate(candidate())
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.DIVERGED


def test_missing_images_are_a_users_mistake() -> None:
    data = FolderSettings(train_dirs=("nowhere",), val_dir="nowhere")
    made = IncompleteTraining(IncompleteTrainingSettings(), EvaluationContext(SMALL, data, 1))
    with pytest.raises(UserError, match="nowhere"):
        made.prepare()


def test_exceptions_become_failures_of_their_kind() -> None:
    class Raises:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def prepare(self) -> None: ...

        def evaluate(self, candidate: Candidate) -> Score | Failure:
            raise self.error

    for error, kind in (
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate"), FailureKind.OUT_OF_MEMORY),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            FailureKind.OUT_OF_MEMORY,
        ),
        (ZeroDivisionError("x"), FailureKind.BUG),
    ):
        outcome = attempt(Raises(error), candidate()).outcome
        assert isinstance(outcome, Failure)
        assert outcome.kind is kind
        assert type(error).__name__ in outcome.traceback
    with pytest.raises(UserError):
        attempt(Raises(UserError("mend this")), candidate())


def test_the_scale_begins_at_the_score_of_interpolation() -> None:
    data = PhotographsSettings(val_crop=64)
    worst, best = psnr_range(IncompleteTrainingSettings(), EvaluationContext(SMALL, data, 1))
    # An output that starts at zero is interpolation alone; a rate of almost 0 keeps it there.
    still = replace(SMALL, target=Target.residual, zero_output=True, learning_rate=1e-30)
    assert psnr(evaluator(still).evaluate(candidate())) == pytest.approx(worst, abs=1e-4)
    assert best == worst + 4


def test_candidates_share_the_images_of_a_degradation(monkeypatch: pytest.MonkeyPatch) -> None:
    degraded: list[tuple[int, ...]] = []
    original = refreshing.degrade_photo

    def counted(hr: torch.Tensor, scale: int, settings: Any, seed: tuple[int, ...]) -> torch.Tensor:
        degraded.append(seed)
        return original(hr, scale, settings, seed)

    monkeypatch.setattr(refreshing, "degrade_photo", counted)
    context = EvaluationContext(
        SMALL, PhotographsSettings(val_crop=64), 1, degradation=PhotoDegradation(period=1)
    )
    made = IncompleteTraining(IncompleteTrainingSettings(), context)
    made.prepare()
    first, second = (made.evaluate(candidate()) for _ in range(2))
    assert psnr(first) == psnr(second)
    assert len(degraded) == len(made.data.pool())
