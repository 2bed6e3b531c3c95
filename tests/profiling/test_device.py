"""Profiles of devices: what is timed, and how the prediction is fitted.

No verdict depends on a time.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from falsr_nas.core.errors import UserError
from falsr_nas.latency.layers import Family, Layer, layers_of_space
from falsr_nas.latency.profile import FEATURES, features, parse_profile
from falsr_nas.models.export import to_onnx
from falsr_nas.models.traced_onnx import traced_onnx
from falsr_nas.networks.network import Network
from falsr_nas.profiling import device, timing
from falsr_nas.profiling.device import (
    LayerModule,
    Plan,
    drawn_networks,
    fitted_coefficients,
    measure_device,
    prediction_error,
)
from falsr_nas.profiling.timing import BACKENDS, Timed, backend_version, time_in_turns
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from made_profile import made_profile

SMALL = SearchSpace(n=2, channels=(4, 8), stems=(8,), repeats=(1, 2))
X4 = SearchSpace(n=1, channels=(8,), stems=(16,), upsamplers=("paper", "subpixel"), scale=4)


def test_coefficients_that_made_the_times_are_found() -> None:
    space = SearchSpace()
    profile = made_profile(space)
    networks = drawn_networks(space, 60, seed=0)
    rows = np.array(
        [[features(one, profile.table, 1280, 720)[name] for name in FEATURES] for one in networks]
    )
    true = np.array([0.8, 0.9, 1.0, 1.3, 0.5, 0.3, 1.0, 0.1, 0.02, 0.5])
    noise = np.random.default_rng(0).normal(1, 0.02, 60)
    measured = rows @ true * noise
    found = fitted_coefficients(rows[:40], measured[:40])
    assert (found >= 0).all()
    error = prediction_error(measured[40:], (rows @ found)[40:])
    assert error.median < 0.05
    assert error.spearman > 0.98
    # Times of other layers than those of the table, which a plain sum would miss by far.
    assert prediction_error(measured[40:], rows[40:, :7].sum(axis=1)).median > 2 * error.median


def test_few_networks_leave_coefficients_near_the_prior() -> None:
    rows = np.ones((2, len(FEATURES)))
    found = fitted_coefficients(rows, rows[:, :7].sum(axis=1))
    assert found == pytest.approx([1.0] * 7 + [0.0] * 3, abs=0.15)


def test_networks_are_drawn_from_the_lightest_to_the_heaviest() -> None:
    space = SearchSpace()
    networks = drawn_networks(space, 30, seed=1)
    assert networks == drawn_networks(space, 30, seed=1)
    assert len({one.key for one in networks}) == 30
    logs = np.sort(np.log([genome_cost(one).mult_adds for one in networks]))
    assert logs[-1] - logs[0] > np.log(20)
    assert np.diff(logs).max() < 0.35 * (logs[-1] - logs[0])
    assert len(drawn_networks(SearchSpace(n=1, channels=(8,), operators=("conv",)), 300, 0)) < 300


@pytest.mark.parametrize("space", [SMALL, X4], ids=["x2", "x4"])
def test_each_layer_is_a_module_that_a_network_could_have(space: SearchSpace) -> None:
    for family, row in layers_of_space(space).items():
        for channels in row:
            module = LayerModule(Layer(family, channels)).eval()
            output = module(torch.rand(1, module.inputs, 6, 8))
            shape = {
                "conv": (family.outputs, 6, 8),
                "concat": (channels, 6, 8),
                "add": (channels, 6, 8),
                "shuffle": (
                    channels // max(1, family.kernel) ** 2,
                    6 * family.kernel,
                    8 * family.kernel,
                ),
            }[family.kind]
            assert tuple(output.shape) == (1, *shape)
            if family.kind == "conv":
                assert module.layer.groups == family.groups


@pytest.mark.parametrize(
    "space",
    [
        SMALL,
        SearchSpace(n=1, scale=4, upsamplers=("subpixel",)),
    ],
    ids=["paper", "subpixel"],
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
        nn.Conv2d(2, 2, 3, stride=2),
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


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_backend_runs_the_module(backend: str) -> None:
    pytest.importorskip(backend)
    x = torch.full((1, 8, 5, 6), 0.5)
    for layer in (
        Layer(Family("conv", 4, 3, 4), 8),
        Layer(Family("shuffle", kernel=2), 8),
        Layer(Family("add"), 8),
    ):
        module = LayerModule(layer).eval()
        result = BACKENDS[backend](module, 8)(x)()
        found = result[1] if isinstance(result, tuple) else result  # (input, output) of a binding
        with torch.no_grad():
            assert np.allclose(np.asarray(found), module(x), atol=1e-6)


def test_samples_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    order: list[int] = []

    def timed(number: int) -> Timed:
        def load(x: torch.Tensor):
            assert x.shape == (1, 2, 3, 4)
            order.append(number)
            return lambda: None

        return Timed(load, (1, 2, 3, 4))

    all_timed = [timed(number) for number in range(5)]
    steps: list[int] = []
    assert time_in_turns(all_timed, 1e9, 3, lambda turn, done: steps.append(1)) == 3
    assert [sorted(order[i : i + 5]) for i in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3
    assert order[:5] != order[5:10]
    assert len(steps) == 15
    assert [one.milliseconds for one in all_timed] == [1000.0] * 5
    assert time_in_turns(all_timed, 0.0, 7) == 1, "one round, however short the time"


def test_short_runs_are_repeated() -> None:
    count = itertools.count()
    one = Timed(lambda x: lambda: next(count), (1, 1, 1, 1))
    one.sample()
    assert next(count) > 100


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_profile_is_measured(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    phases: list[str] = []
    plan = Plan(backend, 32, 16, 1, 0.0, 4, 3, 1)
    profile = measure_device(SMALL, plan, lambda phase, done, total: phases.append(phase))
    profile.check_space(SMALL)
    assert {family: tuple(row) for family, row in profile.table.items()} == layers_of_space(SMALL)
    assert all(ms > 0 for row in profile.table.values() for ms in row.values())
    assert len(profile.error.measured) == 3
    assert parse_profile(profile.to_json(), "device.json") == profile
    assert list(dict.fromkeys(phases)) == [
        "converting layers",
        "timing layers, round 1",
        "converting networks",
        "timing networks, round 1",
    ]
    with pytest.raises(UserError, match="other space|has no layer"):
        profile.check_space(SearchSpace())


def test_a_backend_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserError, match=r"backend=surely-none is not installed: pip install"):
        backend_version("surely-none")
    assert device.processor_name()
