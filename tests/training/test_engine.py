from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.training.engine import StepEngine, step_dtype
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.settings import Initialization, Precision

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
    engine = StepEngine(engine_model, adam(engine_model), RATES, lambda: next(source), torch.float32)
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


def test_precision_is_a_setting() -> None:
    cpu = torch.device("cpu")
    assert step_dtype(Precision.fp32, cpu) is torch.float32
    assert step_dtype(Precision.bf16, cpu) is torch.bfloat16
    assert step_dtype(Precision.auto, cpu) in (torch.float32, torch.bfloat16)
