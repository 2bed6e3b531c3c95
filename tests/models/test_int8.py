"""8-bit models: what is quantised, what it loses, and when a model is written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor

from falsr_nas import export as command
from falsr_nas.benchmark import exported as proof
from falsr_nas.benchmark.exported import Measured, calibration_patches, set_psnr
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.core.errors import UserError
from falsr_nas.data.errors import DataError
from falsr_nas.export import ExportConfig, rejections
from falsr_nas.models import int8
from falsr_nas.models.export import convert_model, from_onnx
from falsr_nas.models.int8 import network_nodes, quantise
from falsr_nas.models.model_file import Model, save_model
from falsr_nas.models.portable import ExportError
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.space.genome import Genome


def photographs(folder: Path, count: int = 3, side: int = 160) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model(
        BilinearResidual(Network(Genome.parse("stem_f8 conv_f8_k3_b2_isskip | 0->2"))).eval(),
        "m",
        {"source": "a test"},
    )


@pytest.fixture(scope="module")
def content(model: Model) -> bytes:
    return convert_model(model, Path("m.onnx")).files[".onnx"]


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    folder = photographs(tmp_path_factory.mktemp("images") / "calibration")
    return calibration_patches(benchmark_files(folder), 3, 2)


@pytest.fixture(scope="module")
def whole(content: bytes, patches: list[Tensor]) -> bytes:
    quantised, kept = quantise(content, patches, allowed=100)
    assert kept == ()
    return quantised


def test_all_convolutions_of_the_network_become_8_bits(whole: bytes) -> None:
    weights = [
        weight.name
        for weight in onnx.load_model_from_string(whole).graph.initializer
        if weight.data_type == onnx.TensorProto.INT8 and len(weight.dims) == 4
    ]
    layers = {name.removesuffix("_quantized") for name in weights}
    expected = {f"network.{name}" for name in ("stem", "cells.0.layers.0", "cells.0.layers.1")}
    expected |= {"network.merge", "network.restore"}
    assert layers == {f"network.{name}.weight" for name in expected}


def test_colours_stay_in_float(whole: bytes) -> None:
    graph = onnx.load_model_from_string(whole).graph
    floats = {
        weight.name for weight in graph.initializer if weight.data_type == onnx.TensorProto.FLOAT
    }
    assert {"to_luma", "to_chroma", "to_rgb", "chroma.kernel"} <= floats


def test_8_bits_are_near_and_not_equal(content: bytes, whole: bytes, patches: list[Tensor]) -> None:
    exact, quantised = (from_onnx(model)(patches[0]) for model in (content, whole))
    difference = (exact - quantised).abs()
    assert 0 < difference.max() < 0.1
    assert difference.mean() < 0.01


def test_metadata_stay(whole: bytes) -> None:
    stored = {entry.key: entry.value for entry in onnx.load_model_from_string(whole).metadata_props}
    assert stored["precision"] == "int8"
    assert json.loads(stored["provenance"]) == {"source": "a test"}
    assert "conv_f8_k3_b2_isskip" in str(Genome.from_json(json.loads(stored["genome"])))


def test_sensitive_nodes_stay_in_float(content: bytes, whole: bytes, patches: list[Tensor]) -> None:
    """With half of the loss allowed, fewer nodes are quantised, and the result is nearer."""

    def noise(model: bytes) -> float:
        return float(
            (from_onnx(model)(patches[0]) - from_onnx(content)(patches[0])).square().mean()
        )

    partly, kept = quantise(content, patches, allowed=allowed_for(noise(whole) / 4))
    assert 0 < len(kept) < len(network_nodes(onnx.load_model_from_string(content)))
    assert noise(partly) < noise(whole)
    counts = [
        Counter(node.op_type for node in onnx.load_model_from_string(model).graph.node)
        for model in (partly, whole)
    ]
    assert counts[0]["QuantizeLinear"] < counts[1]["QuantizeLinear"]


def allowed_for(noise: float) -> float:
    """dB that noise of full-range luma takes from 38 dB."""
    return float(10 * np.log10(1 + noise * (219 / 255) ** 2 * 10**3.8))


def test_a_network_that_bears_no_8_bits_is_refused(
    content: bytes, patches: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8._Quantiser, "loss", lambda self, content: 1.0)
    with pytest.raises(ExportError, match=r"every quantised layer loses more than 0\.15 dB"):
        quantise(content, patches)


def test_calibration_images_are_spread_over_the_set(tmp_path: Path) -> None:
    for place in range(31):
        Image.new("RGB", (128, 128), (8 * place,) * 3).save(tmp_path / f"{place:02}.png")
    found = calibration_patches(benchmark_files(tmp_path), 3, 2)
    levels = [round(float(patch.mean()) * 255 / 8) for patch in found]
    assert levels == [place * 31 // 16 for place in range(16)]


def test_small_images_do_not_calibrate(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "small", side=100)
    with pytest.raises(DataError, match="128x128 pixels or more"):
        calibration_patches(benchmark_files(folder), 3, 2)


def test_psnr_of_an_exported_model_is_that_of_evaluate(model: Model, tmp_path: Path) -> None:
    files = benchmark_files(photographs(tmp_path / "set", side=64))
    run = convert_model(model, Path("m.pt")).run
    wanted = score_model(model, {"set": files}, ScoringProtocol.standard).sets[0].mean.psnr
    assert set_psnr(run, 3, 2, files) == pytest.approx(wanted, abs=0.01)


def test_what_is_rejected() -> None:
    reference = Measured(37.0, 100.0)
    assert rejections(reference, Measured(36.81, 99.0)) == []
    assert rejections(reference, Measured(36.7, 50.0)) == ["loses 0.30 dB (at most 0.2 dB)"]
    assert rejections(reference, Measured(36.99, 120.0)) == ["takes 120 ms where fp32 takes 100 ms"]
    assert len(rejections(reference, Measured(30.0, 120.0))) == 2


@pytest.mark.parametrize(("slow", "lost"), [(True, 0.0), (False, 0.5)])
def test_only_force_writes_a_rejected_model(
    slow: bool,
    lost: float,
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_model(tmp_path / "m.safetensors", model.network, {})
    folder = photographs(tmp_path / "set")

    def measure(runs: object, planes: int, scale: int, files: object) -> list[Measured]:
        return [Measured(37.0, 100.0), Measured(37.0 - lost, 200.0 if slow else 50.0)]

    monkeypatch.setattr(proof, "measure", measure)
    output = tmp_path / "m.onnx"
    settings = {
        "model": str(tmp_path / "m.safetensors"),
        "output": str(output),
        "precision": "int8",
        "calibration": str(folder),
        "benchmark": str(folder),
    }
    with pytest.raises(UserError, match=r"m\.onnx is not written: int8 .*force=true writes it"):
        command.export(ExportConfig(**settings))  # type: ignore[arg-type]
    assert not output.exists()
    result = command.export(ExportConfig(**settings, force=True))  # type: ignore[arg-type]
    assert result.psnr_lost == pytest.approx(lost)
    stored = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert stored["precision"] == "int8"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"output": "m.pt2"}, r"int8 is \.onnx only"),
        ({"output": "m.onnx"}, "give calibration=FOLDER"),
        ({"output": "m.onnx", "calibration": "c"}, "give benchmark=FOLDER"),
        ({"output": "m.onnx", "precision": "int4"}, "choose one of fp32, int8"),
    ],
)
def test_settings(settings: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        ExportConfig(model="m", **{"precision": "int8", **settings})  # type: ignore[arg-type]
