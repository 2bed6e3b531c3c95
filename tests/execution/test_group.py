import multiprocessing
import os
import socket
from functools import partial

import pytest

from distributed_evaluator import DistributedEvaluator
from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Origin, Score
from falsr_nas.core.errors import UserError
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation.evaluator import Evaluator
from falsr_nas.evaluation.settings import EvaluationContext, IncompleteTrainingSettings
from falsr_nas.execution.executor import MakeEvaluator
from falsr_nas.execution.group import reserved_port
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.processes import ProcessesExecutor
from falsr_nas.execution.settings import InlineSettings, ProcessesSettings
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.training.settings import StepPrecision, TrainingSettings

TEXTS = (
    "conv_f16_k3_b2_isskip conv_f16_k3_b1_noskip | 0->3",
    "invertBotConE2_f16_k3_b2_isskip groupConG4_f32_k3_b2_isskip",
)


def candidate(number: int, text: str = TEXTS[0]) -> Candidate:
    genome = Genome.parse(text)
    return Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)


def two_devices(make: MakeEvaluator, time_limit: float | None = None) -> ProcessesExecutor:
    return ProcessesExecutor(
        ProcessesSettings(workers=1, devices_per_candidate=2, time_limit=time_limit), make
    )


def incomplete_training(devices: int, batch: int = 4) -> Evaluator:
    from falsr_nas.evaluation.incomplete_training import IncompleteTraining

    training = TrainingSettings(
        epochs=2,
        steps_per_epoch=15,
        batch_size=batch,
        patch_size=12,
        warmup=0,
        precision=StepPrecision.fp32,
    )
    context = EvaluationContext(training, PhotographsSettings(val_crop=64), 1, devices)
    return IncompleteTraining(IncompleteTrainingSettings(), context)


def test_two_devices_train_a_candidate_like_one() -> None:
    """The MSE agrees to 1e-5.

    Both draw the same patches, so that the gradients differ only by the order of summation, by 1e-7
    (the precision of float32). After thirty steps of Adam the MSE differs by 2e-7 (measured).
    """
    scores = {}
    for devices, executor in (
        (1, InlineExecutor(InlineSettings(), partial(incomplete_training, 1))),
        (2, two_devices(partial(incomplete_training, 2))),
    ):
        with executor:
            for number, text in enumerate((*TEXTS, TEXTS[0])):
                executor.submit(candidate(number, text))
                outcome = executor.collect().outcome
                assert isinstance(outcome, Score), outcome
                scores[devices, number] = outcome.mse
    # Bit-identical, although the group has trained another network in between.
    assert scores[2, 0] == scores[2, 2]
    for number in (0, 1):
        assert scores[2, number] == pytest.approx(scores[1, number], rel=1e-5)


@pytest.mark.slow
def test_a_batch_size_that_cannot_be_divided_is_a_users_mistake() -> None:
    with (
        pytest.raises(UserError, match="batch of 5 .* 2 devices"),
        two_devices(partial(incomplete_training, 2, 5)),
    ):
        pytest.fail("entered")
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_group_is_killed_and_replaced_as_a_whole() -> None:
    with two_devices(
        partial(DistributedEvaluator, {2: "kill", 4: "memory", 5: "nan", 7: "loop"}), time_limit=5
    ) as executor:
        for number in range(9):
            executor.submit(candidate(number))
        outcomes = {e.candidate.number: e.outcome for e in (executor.collect() for _ in range(9))}
    failed = {
        number: outcome.kind for number, outcome in outcomes.items() if isinstance(outcome, Failure)
    }
    assert failed == {
        2: FailureKind.WORKER_DIED,
        4: FailureKind.OUT_OF_MEMORY,
        5: FailureKind.DIVERGED,
        7: FailureKind.TIMEOUT,
    }
    # The evaluator returns the id of its process as seconds.
    groups = [
        {outcomes[number].seconds for number in numbers} for numbers in ((0, 1), (3,), (6,), (8,))
    ]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) == 4
    assert not multiprocessing.active_children()


def test_a_reserved_port_is_not_free_but_can_be_listened_on() -> None:
    reserved = reserved_port()
    address = reserved.getsockname()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(address)
    with (  # create_server sets SO_REUSEADDR, like rank 0
        socket.create_server(address) as listening,
        socket.create_connection(address, timeout=10),
    ):
        listening.accept()[0].close()
    reserved.close()


@pytest.mark.parametrize(
    ("gpus", "settings", "capacity"),
    [
        ("0,1,2,3", ProcessesSettings(), 4),
        ("0,1,2,3", ProcessesSettings(workers_per_device=3), 12),
        ("0,1,2,3", ProcessesSettings(devices_per_candidate=2), 2),
        ("0,1,2", ProcessesSettings(devices_per_candidate=2, workers_per_device=2), 2),
        ("0,1", ProcessesSettings(workers=5), 5),
        ("", ProcessesSettings(), min(os.cpu_count() or 1, 8)),
        ("", ProcessesSettings(devices_per_candidate=64), 1),
    ],
)
def test_the_default_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, gpus: str, settings: ProcessesSettings, capacity: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    assert ProcessesExecutor(settings, partial(incomplete_training, 1)).capacity == capacity


def test_too_few_gpus_are_a_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(
        UserError, match=r"devices_per_candidate is 2, but this machine has 1 GPU\b"
    ):
        two_devices(partial(incomplete_training, 2))
