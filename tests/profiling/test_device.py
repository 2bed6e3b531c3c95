"""Timing of networks, and the profile of this device. No verdict depends on a time."""

import itertools
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from falsr_nas.core.errors import UserError
from falsr_nas.latency.profile import EXTRAS, parse_profile
from falsr_nas.models.export import to_onnx
from falsr_nas.models.traced_onnx import traced_onnx
from falsr_nas.networks.network import Network
from falsr_nas.profiling import timing
from falsr_nas.profiling.device import (
    Device,
    Stopwatch,
    check_device,
    drawn_networks,
    measure_device,
    processor_name,
    reference_network,
)
from falsr_nas.profiling.timing import BACKENDS, Measured, backend_version, time_against
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from made_profile import made_profile

SMALL = SearchSpace(n=2, channels=(4, 8), stems=(8,), repeats=(1, 2))


def test_networks_are_drawn_from_the_lightest_to_the_heaviest() -> None:
    space = SearchSpace()
    networks = drawn_networks(space, 30, seed=1)
    assert networks == drawn_networks(space, 30, seed=1)
    assert len({one.key for one in networks}) == 30
    logs = np.sort(np.log([genome_cost(one).mult_adds for one in networks]))
    assert logs[-1] - logs[0] > np.log(20)
    assert np.diff(logs).max() < 0.35 * (logs[-1] - logs[0])
    assert len(drawn_networks(SearchSpace(n=1, channels=(8,), operators=("conv",)), 300, 0)) < 300


@pytest.mark.parametrize(
    "space",
    [
        SMALL,
        SearchSpace(n=1, scale=4, upsamplers=("subpixel",)),
        SearchSpace(n=1, links=False, upsamplers=("subpixel", "skipsubpixel")),
    ],
    ids=["paper", "subpixel", "chain"],
)
def test_the_fast_writer_makes_the_graph_of_the_exporter(space: SearchSpace) -> None:
    import onnxruntime

    network = Network(space.sample(np.random.default_rng(3))).eval()
    content = traced_onnx(network, 1)
    assert content is not None
    x = torch.rand(1, 1, 14, 11)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        assert np.allclose(session.run(None, {"input": x.numpy()})[0], network(x), atol=1e-5)
        exported = to_onnx(network, torch.rand(2, 1, 13, 19), {"falsr_nas": ""})

    def operators(model: bytes) -> list[str]:
        nodes = onnx.load_model_from_string(model).graph.node
        return sorted(one.op_type for one in nodes if one.op_type != "Identity")

    assert operators(content) == operators(exported)


@pytest.mark.parametrize("upsampler", ["paper_x2", "skipsubpixel_x3"])
def test_the_fast_writer_writes_unshuffled_stems_for_any_size(upsampler: str) -> None:
    import onnxruntime

    text = f"stem_f16_u2 conv_f8_k3_b1_noskip conv_f16_k3_b2_isskip {upsampler}"
    network = Network(Genome.parse(text)).eval()
    content = traced_onnx(network, 1)
    assert content is not None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for height, width in ((1, 2), (14, 11), (13, 12)):
        x = torch.rand(1, 1, height, width)
        with torch.no_grad():
            wanted = network(x)
        assert wanted.shape[-2:] == (network.scale * height, network.scale * width)
        assert np.allclose(session.run(None, {"input": x.numpy()})[0], wanted, atol=1e-5)


class Plain(nn.Module):
    """A module that is the function it is made with."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.forward = function


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.Sigmoid()),
        nn.ChannelShuffle(2),
        nn.Conv2d(2, 2, 3, padding=2, dilation=2),
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        Plain(lambda x: x + 1),
        Plain(lambda x: torch.cat([x, x], dim=2)),
        Plain(lambda x: x if x.shape[-1] % 8 else -x),
        Plain(lambda x: torch.cat([x for _ in range(x.shape[1])], dim=1)),
    ],
)
def test_the_fast_writer_leaves_other_operators_to_the_exporter(module: nn.Module) -> None:
    assert traced_onnx(nn.Sequential(module), 2) is None


@pytest.mark.parametrize("backend", EXTRAS)
def test_a_backend_runs_the_network(backend: str) -> None:
    pytest.importorskip(backend.partition("-")[0])
    x = torch.rand(1, 1, 9, 14)
    network = Network(reference_network(2)).eval()
    found = BACKENDS[backend](network, x)()
    if isinstance(found, Tensor):  # others return what they keep
        with torch.no_grad():
            error = 0.05 if "bf16" in backend else 1e-5  # bfloat16 has 8 bits
            assert torch.allclose(found.float(), network(x), atol=error)
    elif backend == "onnxruntime":
        with torch.no_grad():
            assert np.allclose(found[1], network(x), atol=1e-5)  # type: ignore[index]


def test_each_backend_has_a_name_and_an_extra() -> None:
    assert list(BACKENDS) == list(EXTRAS)
    for backend in EXTRAS:
        if find_spec(backend.partition("-")[0]) is not None:
            assert backend_version(backend)


def test_a_time_is_the_ratio_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that slows down by 30% in each round, the ratio is found all the same."""
    now, order = [0.0], list[str]()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def runs(name: str, seconds: float):
        def run() -> None:
            order.append(name)
            now[0] += seconds * 1.001 ** len(order)

        return run

    found = time_against(runs("a", 0.03), runs("b", 0.06), seconds=3.0)
    assert found.ratio == pytest.approx(2.0, rel=0.01)
    assert 0 <= found.spread < 0.01
    assert found.reference_ms > 30
    steady = order[order.index("b") + timing.WARM_UPS :]
    assert len(steady) > 20
    assert all(one != other for one, other in itertools.pairwise(steady)), "they take turns"
    order.clear()
    time_against(runs("a", 0.03), runs("b", 0.06), seconds=0.2)
    assert order.count("b") == timing.WARM_UPS + timing.ROUNDS, "some rounds, however short"
    order.clear()
    time_against(runs("a", 0.03), runs("b", 2.0), seconds=0.2)
    assert order.count("b") == 1 + timing.SLOW_ROUNDS, "fewer of a slow network"


def test_rounds_that_another_program_disturbed_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disturbance begins in the middle, and slows one network more than the other."""
    now, runs = [0.0], itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def network(seconds: float, disturbed: float) -> Callable[[], None]:
        def run() -> None:
            now[0] += seconds * (disturbed if 8 <= next(runs) < 30 else 1)

        return run

    found = time_against(network(0.03, 3), network(0.06, 1.5), seconds=3.0)
    assert found.ratio == pytest.approx(2.0)
    assert found.reference_ms == pytest.approx(30)


def test_a_disturbed_timing_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [Measured(1.3, 0.1, ms) for ms in (30.0, 26.0, 27.0, 24.0)]
    monkeypatch.setattr("falsr_nas.profiling.device.time_against", lambda *_: times.pop(0))
    device, reference = Device.here("torch", 32, 16, 1), reference_network(2)
    stopwatch = Stopwatch(device, reference, reference_ms=20.0)
    assert stopwatch.time(reference, 0.0).reference_ms == 26.0  # the best of three
    assert stopwatch.time(reference, 0.0).reference_ms == 24.0  # at once
    times = [Measured(1.3, 0.1, 900.0)]
    assert Stopwatch(device, reference).time(reference, 0.0).reference_ms == 900.0


def test_short_runs_are_repeated() -> None:
    count = itertools.count()
    time_against(lambda: next(count), lambda: None, 0.0)
    assert next(count) > 100


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_profile_is_measured(backend: str) -> None:
    pytest.importorskip(backend)
    steps: list[int] = []
    device = Device.here(backend, 32, 16, 1)
    networks = drawn_networks(SMALL, 5, 1)
    profile = measure_device(networks, device, 0.0, lambda phase, done, total: steps.append(done))
    assert steps == [1, 2, 3, 4, 5]
    assert [one.genome for one in profile.networks] == networks
    assert all(one.milliseconds > 0 and one.predicted > 0 for one in profile.networks)
    assert parse_profile(profile.to_json(), "device.json") == profile
    assert check_device(profile) == device
    threads = torch.get_num_threads()
    measured = Stopwatch(device, profile.reference).time(networks[0], 0.0)
    assert measured.ratio > 0
    assert torch.get_num_threads() == threads


def test_another_device_is_refused_with_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"is of a processor, this is .*falsr_nas.profile.*=false"):
        check_device(made_profile(SMALL))

    def missing(backend: str) -> str:
        raise UserError(f"backend={backend} is not installed: pip install it")

    monkeypatch.setattr("falsr_nas.profiling.device.backend_version", missing)
    with pytest.raises(UserError, match=r"pip install it; or search with measure_latency=false"):
        check_device(made_profile(SMALL))


def test_a_backend_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "surely-none", "export")
    with pytest.raises(UserError, match=r"backend=surely-none is not installed: pip install"):
        backend_version("surely-none")
    assert processor_name()
