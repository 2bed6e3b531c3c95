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
from falsr_nas.latency.layers import GROUPS, Family, Layer, layers, layers_of_space
from falsr_nas.latency.profile import (
    FEATURES,
    features,
    milliseconds,
    parse_profile,
    read_profile,
)
from falsr_nas.space.cost import genome_cost, input_pixels
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from made_profile import made_profile

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
def test_layers_have_the_mult_adds_of_the_network_and_are_measured(space: SearchSpace) -> None:
    families = layers_of_space(space)
    for genome in drawn(space, 100):
        found = list(layers(genome))
        products = sum(
            one.family.density
            * one.family.outputs
            * (one.channels // one.family.groups)
            * one.family.kernel**2
            for one in found
            if one.family.kind == "conv"
        )
        assert products * input_pixels(space.scale) == genome_cost(genome).mult_adds
        assert {one.family for one in found} <= set(families)
        assert {one.group for one in found} <= set(GROUPS)
        for one in found:
            if one.family.kind != "concat":
                row = families[one.family]
                assert one.channels in row or row[0] <= one.channels <= 1.1 * row[-1]


def test_layers_of_a_network_by_hand() -> None:
    genome = Genome.parse(
        "stem_f32 invertBotConE2_f16_k1_b2_isskip groupConG4_f32_k3_b1_noskip | 0->2"
    )
    names = [(one.group, one.channels) for one in layers(genome)]
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


def test_families_have_names_that_can_be_read_back() -> None:
    for family in layers_of_space(X4):
        assert Family.parse(family.name) == family
    for text in ("", "conv", "pool outputs=1 kernel=1 groups=1 density=1", "conv outputs=x"):
        with pytest.raises(ValueError, match="not a layer"):
            Family.parse(text)


def test_unmeasured_widths_are_interpolated() -> None:
    family = Family("conv", 16, 3)
    table = {family: {16: 2.0, 64: 8.0, 256: 20.0}}
    for channels, expected in ((16, 2.0), (32, 4.0), (160, 14.0), (512, 40.0), (8, 1.0)):
        assert milliseconds(Layer(family, channels), table) == pytest.approx(expected)
    with pytest.raises(UserError, match="conv outputs=32 kernel=3"):
        milliseconds(Layer(Family("conv", 32, 3), 16), table)


def test_latency_is_the_weighted_sum_of_its_parts() -> None:
    for genome in drawn(PAPER, 20):
        values = features(genome, PROFILE.table, PROFILE.width, PROFILE.height)
        found = list(layers(genome))
        assert values["layers"] == len(found)
        assert values["network"] == 1
        assert values["traffic"] == pytest.approx(
            4e-6 * 640 * 360 * sum(one.traffic for one in found)
        )
        times = sum(milliseconds(one, PROFILE.table) for one in found)
        assert sum(values[name] for name in GROUPS) == pytest.approx(times)
        assert PROFILE.latency(genome) == pytest.approx(
            sum(PROFILE.coefficients[name] * values[name] for name in FEATURES)
        )


@given(st.integers(0, 10_000), st.integers(0, 27))
def test_another_link_never_makes_a_network_faster(seed: int, bit: int) -> None:
    rng = np.random.default_rng(seed)
    cells = [PAPER.cells[i] for i in rng.integers(192, size=7)]
    bits = rng.random(28) < 0.5
    bits[bit] = False
    without = PROFILE.latency(PAPER.genome(cells, bits))
    bits[bit] = True
    assert PROFILE.latency(PAPER.genome(cells, bits)) > without


def test_latency_is_the_same_from_a_file_in_any_order_of_calls(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(PROFILE.to_json())
    read = read_profile(path)
    assert read == PROFILE
    assert read.digest == PROFILE.digest
    genomes = drawn(PAPER, 30)
    assert [read.latency(one) for one in genomes[::-1]][::-1] == [
        made_profile(PAPER).latency(one) for one in genomes
    ]
    assert replace(PROFILE, threads=1).digest != PROFILE.digest


def changed(**values: Any) -> str:
    return json.dumps(json.loads(PROFILE.to_json()) | values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a profile"),
        ("[]", "not a profile"),
        ('{"sets": {}}', "not a profile"),
        ("[" * 100_000, "not a profile"),
        (changed(format=99), "format 99, this version reads 1"),
        (changed(threads=0), "not a positive whole number"),
        (changed(width="1280"), "not a positive whole number"),
        (changed(layers_ms={"conv": {}}), "not a layer"),
        (changed(layers_ms=3), "not a profile"),
        (changed(layers_ms={Family("add").name: {"16": math.nan}}), "out of range"),
        (changed(layers_ms={Family("add").name: {"16": 0}}), "0 ms"),
        (changed(coefficients={}), "'conv' is missing"),
        (changed(coefficients=dict.fromkeys(FEATURES, -1)), "out of range"),
        (changed(coefficients=dict.fromkeys(FEATURES, True)), "not a number"),
        (changed(space={"n": 7}), "'scale' is missing"),
        (
            changed(space=json.loads(PROFILE.to_json())["space"] | {"n": 0}),
            r"must be in 1\.\.64 cells",
        ),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "device.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)
    assert "device.json" in str(caught.value) or "cells" in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_profile(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file"):
        read_profile(tmp_path / "binary.json")


def test_a_profile_of_another_space_is_refused() -> None:
    PROFILE.check_space(PAPER)
    PROFILE.check_space(SearchSpace(n=3, channels=(16, 64), operators=("conv",)))
    with pytest.raises(UserError, match="networks for x2, space.scale is 4"):
        PROFILE.check_space(X4)
    with pytest.raises(UserError, match="has no layer `conv outputs="):
        PROFILE.check_space(TINY)
    with pytest.raises(UserError, match="networks for x2"):
        PROFILE.latency(drawn(X4, 1)[0])
    assert parse_profile(PROFILE.to_json(), "store") == PROFILE


def test_a_prediction_is_positive_whatever_was_fitted() -> None:
    noise = replace(PROFILE, coefficients=dict.fromkeys(FEATURES, 0.0))
    least = min(PROFILE.error.measured)
    assert all(0 < noise.latency(one) < least for one in drawn(PAPER, 3))
