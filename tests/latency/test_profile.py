"""Layers of networks, and latencies that profiles predict."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.core.errors import UserError
from falsr_nas.latency.layers import GROUPS, layers
from falsr_nas.latency.prediction import Fit, left_out, prediction_error
from falsr_nas.latency.profile import LatencyPredictor, parse_profile, read_profile
from falsr_nas.profiling.device import drawn_networks
from falsr_nas.space.cost import genome_cost, input_pixels
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from made_profile import made_latency, made_profile

PAPER = SearchSpace()
TINY = SearchSpace(
    n=5, channels=(8, 12, 16, 24, 32), stems=(8, 12, 32), upsamplers=("paper", "subpixel")
)
X4 = SearchSpace(scale=4, upsamplers=("paper", "subpixel"))
X3 = SearchSpace(scale=3)
SPACES = [PAPER, TINY, X4, X3]
PROFILE = made_profile(PAPER)


def drawn(space: SearchSpace, count: int) -> list[Genome]:
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(count)]


@pytest.mark.parametrize("space", SPACES, ids=["paper", "tiny", "x4", "x3"])
def test_layers_have_the_mult_adds_of_the_network(space: SearchSpace) -> None:
    for genome in drawn(space, 100):
        found = list(layers(genome))
        products = sum(one.mult_adds() for one in found)
        assert products * input_pixels(space.scale) == genome_cost(genome).mult_adds
        assert {one.group for one in found} <= set(GROUPS)
        for one in found:
            assert one.mult_adds(16) >= one.mult_adds()
            assert one.traffic(16) >= one.traffic() > 0


def test_layers_of_a_network_by_hand() -> None:
    genome = Genome.parse(
        "stem_f32 invertBotConE2_f16_k1_b2_isskip groupConG4_f32_k3_b1_noskip | 0->2"
    )
    names = [(one.group, one.inputs) for one in layers(genome)]
    bottleneck = [("pointwise", 16), ("depthwise", 32), ("pointwise", 32)]
    assert names == [
        ("conv", 1),
        ("pointwise", 32),
        *bottleneck,
        *bottleneck,
        *[("add", 16)] * 3,
        ("concat", 48),
        ("grouped", 48),
        ("conv", 32),
        ("add", 32),
        ("shuffle", 32),
        ("conv", 8),
    ]


@pytest.mark.parametrize("space", [PAPER, TINY], ids=["paper", "tiny"])
def test_times_that_follow_from_the_layers_are_found_again(space: SearchSpace) -> None:
    networks = drawn_networks(space, 72, 0)
    noise = np.random.default_rng(0).normal(1, 0.02, len(networks))
    milliseconds = np.array([made_latency(one) for one in networks]) * noise
    median, spearman = prediction_error(milliseconds, left_out(networks, milliseconds))
    assert median < 0.05
    assert spearman > 0.98


def test_the_prediction_learns_what_formulas_miss() -> None:
    """On a device where links are slow, measured candidates correct the prediction."""
    rng = np.random.default_rng(1)
    genomes = [PAPER.sample(rng) for _ in range(120)]

    def true(genome: Genome) -> float:
        return made_latency(genome) * math.exp(0.05 * sum(map(len, genome.links)) - 0.3)

    predictor = LatencyPredictor(PROFILE)
    rest = genomes[80:]
    before = np.median([abs(predictor.latency(one) / true(one) - 1) for one in rest])
    predictor.learn((one, true(one)) for one in genomes[:80])
    after = np.median([abs(predictor.latency(one) / true(one) - 1) for one in rest])
    assert after < 0.15
    assert before > 0.25


def test_the_order_of_learning_does_not_matter() -> None:
    genomes = drawn(PAPER, 12)
    measured = [(one, 1.3 * made_latency(one)) for one in genomes]
    others = [LatencyPredictor(PROFILE) for _ in range(3)]
    others[0].learn(measured)
    others[1].learn(measured[::-1])
    for i in range(12):
        others[2].learn(measured[i : i + 1])
        others[2].latency(genomes[0])  # fits in between
    asked = [PAPER.sample(np.random.default_rng(5)) for _ in range(5)]
    first, *rest = [[one.latency(genome) for genome in asked] for one in others]
    assert all(found == first for found in rest)
    assert first != [PROFILE.latency(genome) for genome in asked]


def test_a_prediction_is_positive_whatever_was_measured() -> None:
    genomes = drawn(PAPER, 8)
    fit = Fit(genomes, np.array([1e-3, 1e3, 5.0, 5.0, 1e-3, 70.0, 2.0, 9.0]))
    assert (fit.predict(drawn(PAPER, 40)) > 0).all()


def test_latency_is_the_same_from_a_file_in_any_order_of_calls(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(PROFILE.to_json())
    read = read_profile(path)
    assert read == PROFILE
    assert read.digest == PROFILE.digest
    genomes = drawn(PAPER, 30)
    other = made_profile(PAPER)
    assert [read.latency(one) for one in genomes[::-1]][::-1] == [
        other.latency(one) for one in genomes
    ]
    assert replace(PROFILE, threads=1).digest != PROFILE.digest


CONTENT = json.loads(PROFILE.to_json())


def changed(**values: Any) -> str:
    return json.dumps(CONTENT | values)


def network(**values: Any) -> str:
    first, *others = CONTENT["networks"]
    return changed(networks=[first | values, *others])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a profile"),
        ("[]", "not a profile"),
        ('{"sets": {}}', "not a profile"),
        ("[" * 100_000, "not a profile"),
        (changed(format=1), "format 1, this version reads 2: measure it again"),
        (changed(threads=0), "not a positive whole number"),
        (changed(width="1280"), "not a positive whole number"),
        (changed(backend="tflite"), "no backend 'tflite'"),
        (changed(networks=[]), "it has 0 networks"),
        (changed(networks=3), "not a profile"),
        (changed(reference={"ms": 1}), "'genome' is missing"),
        (network(ms=math.nan), "out of range"),
        (network(ms=0), "0 ms is out of range"),
        (network(ms=True), "not a number"),
        (network(genome="conv"), "conv"),
        (network(predicted_ms=None), "not a number"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "device.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)
    assert "device.json" in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_profile(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file"):
        read_profile(tmp_path / "binary.json")


def test_a_profile_of_another_scale_is_refused() -> None:
    PROFILE.check_space(PAPER)
    PROFILE.check_space(TINY)
    with pytest.raises(UserError, match="networks for x2, space.scale is 4"):
        PROFILE.check_space(X4)
    with pytest.raises(UserError, match="networks for x2"):
        PROFILE.latency(drawn(X4, 1)[0])
    assert parse_profile(PROFILE.to_json(), "store") == PROFILE


@given(st.integers(0, 10_000), st.integers(0, 27))
def test_another_link_never_makes_a_network_much_faster(seed: int, bit: int) -> None:
    rng = np.random.default_rng(seed)
    cells = [PAPER.cells[i] for i in rng.integers(192, size=7)]
    bits = rng.random(28) < 0.5
    bits[bit] = False
    without = PROFILE.latency(PAPER.genome(cells, bits))
    bits[bit] = True
    assert PROFILE.latency(PAPER.genome(cells, bits)) > 0.97 * without
