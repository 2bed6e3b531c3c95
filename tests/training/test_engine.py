from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.training.engine import StepEngine, step_dtype
from falsr_nas.training.full_training import train_fully
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.module import residual_batches
from falsr_nas.training.settings import (
    Initialization,
    StepPrecision,
    TrainerSettings,
    TrainingSettings,
)

RATES = torch.full((100,), 1e-3)
GENOME = Genome.parse("stem_f16 conv_f16_k3_b2_isskip invertBotConE2_f16_k3_b1_noskip | 0->3")


def network() -> Network:
    return initialized_network(GENOME, Initialization.he, False, seed=3)


def batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    for _ in range(count):
        low = torch.rand(4, 1, 8, 8, generator=generator)
        yield low, torch.nn.functional.interpolate(low, scale_factor=2)


def adam(model: Network) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-3), fused=True)


def test_many_steps_at_a_call_are_the_plain_loop() -> None:
    plain, engine_model = network(), network()
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    losses = []
    for low, high in batches(12):
        loss = l1_loss(plain(low), high)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    source = batches(12)
    engine = StepEngine(
        engine_model, adam(engine_model), RATES, lambda: next(source), torch.float32
    )
    first, last = engine.run(6), engine.run(6)
    assert first.item() == pytest.approx(sum(losses[:6]) / 6, rel=1e-5)
    assert last.item() == pytest.approx(sum(losses[6:]) / 6, rel=1e-5)
    for a, b in zip(plain.parameters(), engine_model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_bfloat16_steps_learn_as_float32_steps_do_with_float32_weights() -> None:
    ends = {}
    for dtype in (torch.float32, torch.bfloat16):
        model, source = network(), batches(60)
        engine = StepEngine(model, adam(model), RATES, lambda source=source: next(source), dtype)
        begin, end = engine.run(10).item(), engine.run(50).item()
        assert end < begin
        assert all(parameter.dtype is torch.float32 for parameter in model.parameters())
        ends[dtype] = end
    assert ends[torch.bfloat16] == pytest.approx(ends[torch.float32], rel=0.1)


@pytest.mark.parametrize("fast", [True, False])
def test_precision_is_a_setting(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falsr_nas.training.engine.cpu_has_bf16", lambda: fast)
    cpu = torch.device("cpu")
    assert step_dtype(StepPrecision.fp32, cpu) is torch.float32
    assert step_dtype(StepPrecision.bf16, cpu) is torch.bfloat16
    assert step_dtype(StepPrecision.auto, cpu) is (torch.bfloat16 if fast else torch.float32)


def engine(rates: Tensor = RATES, **options: object) -> StepEngine:
    model, source = network(), batches(60)
    return StepEngine(model, adam(model), rates, lambda: next(source), torch.float32, **options)


def test_each_step_has_its_own_rate() -> None:
    rates = torch.linspace(1e-3, 1e-4, 8)
    plain, source = network(), batches(8)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1.0)
    for rate, (low, high) in zip(rates.tolist(), source, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        l1_loss(plain(low), high).backward()
        optimizer.step()
    ours = engine(rates)
    ours.run(8)
    for a, b in zip(plain.parameters(), ours.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_average_follows_the_weights() -> None:
    followers, shares = (
        [parameter.detach().clone() for parameter in network().parameters()],
        torch.linspace(0.9, 0.2, 6),
    )
    expected = [follower.clone() for follower in followers]
    ours = engine(average=(followers, shares))
    for share in shares.tolist():
        ours.run(1)
        expected = [
            follower + share * (now.detach() - follower)
            for follower, now in zip(expected, ours.model.parameters(), strict=True)
        ]
    torch.testing.assert_close(followers, expected)


def test_an_engine_goes_on_from_a_position() -> None:
    rates = torch.cat([torch.zeros(5), torch.full((5,), 1e-3)])
    ours = engine(rates)
    before = [parameter.detach().clone() for parameter in ours.model.parameters()]
    ours.run(5)
    torch.testing.assert_close(
        before, [parameter.detach() for parameter in ours.model.parameters()]
    )
    ours.optimizer.load_state_dict(ours.optimizer.state_dict())  # new tensors, as on a resume
    ours.go_on_from(5)
    ours.run(1)
    steps = {int(state["step"]) for state in ours.optimizer.state.values()}
    assert steps == {6}
    assert any((a != b).any() for a, b in zip(before, ours.model.parameters(), strict=True))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_residuals_are_what_bilinear_interpolation_misses(scale: int) -> None:
    low = torch.rand(3, 1, 9, 9)
    high = torch.rand(3, 1, 9 * scale, 9 * scale)
    first, residual = residual_batches(lambda: (low, high), scale)()
    plain = torch.nn.functional.interpolate(low, scale_factor=scale, mode="bilinear")
    assert first is low
    torch.testing.assert_close(residual + plain, high)


def test_a_training_begun_on_another_kind_of_device_goes_on(tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=4, steps_per_epoch=2, batch_size=2, patch_size=8, warmup=0)
    data = SuperResolutionData(
        PhotographsSettings(val_crop=32), batch_size=2, patch_size=8, steps_per_epoch=2
    )
    train = partial(
        train_fully,
        GENOME,
        settings,
        data,
        trainer_settings=TrainerSettings(accelerator="cpu", validate_every=2),
        seed=1,
        folder=tmp_path,
        on_point=lambda point, steps, images: None,
    )
    train(epochs=2, rungs=[2])
    path = tmp_path / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["training"]["generator"] = torch.zeros(16, dtype=torch.uint8)  # as a GPU's
    for group in checkpoint["optimizer_states"][0]["param_groups"]:
        group["capturable"] = True  # as on a GPU
    torch.save(checkpoint, path)
    with pytest.warns(UserWarning, match="began on another kind of device"):
        curve = train()
    assert [point.step for point in curve] == [4, 8]


NO_GPU = "needs a CUDA device"


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.filterwarnings("error:no CUDA graph")
def test_a_recorded_step_is_the_step() -> None:
    """The graph's replays take the same steps, with the same patches, as one kernel at a time."""

    def train(recorded: bool) -> list[Tensor]:
        model = network().cuda()
        generator = torch.Generator("cuda").manual_seed(3)

        def draw() -> tuple[Tensor, Tensor]:
            low = torch.rand(4, 1, 8, 8, generator=generator, device="cuda")
            return low, torch.nn.functional.interpolate(low, scale_factor=2)

        optimizer = torch.optim.Adam(
            model.parameters(), lr=torch.tensor(1e-3, device="cuda"), fused=True, capturable=True
        )
        ours = StepEngine(
            model,
            optimizer,
            RATES.cuda(),
            draw,
            torch.float32,
            generator=generator,
            graph=recorded,
        )
        ours.run(20)
        assert bool(ours._graph) is recorded
        return [parameter.detach().cpu() for parameter in model.parameters()]

    torch.testing.assert_close(train(True), train(False))
    assert all(torch.equal(a, b) for a, b in zip(train(True), train(True), strict=True))
