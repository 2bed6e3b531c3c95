"""Networks in other runtimes and precisions: their output, and the choice of the fastest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from falsr_nas.core.errors import UserError
from falsr_nas.evaluate import EvaluateConfig, evaluate
from falsr_nas.inference.tiling import tile_bytes, upscale
from falsr_nas.models import runtimes
from falsr_nas.models.model_file import find_model, save_model
from falsr_nas.models.runtime_choice import Precision, Runtime
from falsr_nas.models.runtimes import in_runtime, is_close, split_input
from falsr_nas.networks.network import Network, without_residual
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.genome import Genome
from falsr_nas.upscale import UpscaleConfig
from falsr_nas.upscale import upscale as upscale_files

FP32 = [(runtime, Precision.fp32) for runtime in Runtime if runtime is not Runtime.auto]
BF16 = [(runtime, Precision.bf16) for runtime in (Runtime.torch, Runtime.openvino)]
SHIPPED = "falsr-nano-x2"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "falsr_nas" / "runtimes.json"


@pytest.fixture(autouse=True)
def installed() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")


def network() -> SuperResolver:
    return find_model(SHIPPED).network


def smooth(height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(1, 1, 7, 9, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize(("runtime", "precision"), FP32 + BF16)
@pytest.mark.parametrize("sides", [(1, 1), (17, 40), (33, 21)])
def test_the_output_is_that_of_pytorch(
    runtime: Runtime, precision: Precision, sides: tuple[int, int]
) -> None:
    image, plain = smooth(*sides), network()
    output, wanted = upscale(in_runtime(plain, runtime, precision), image), upscale(plain, image)
    assert output.shape == wanted.shape
    levels = 255 * (output - wanted).abs()
    assert levels.max() <= (2 if precision is Precision.bf16 else 0.01)
    assert levels.square().mean() <= 0.2**2


@pytest.mark.parametrize(("runtime", "precision"), FP32 + BF16)
def test_tiles_give_the_whole(runtime: Runtime, precision: Precision) -> None:
    image, other = smooth(75, 90), in_runtime(network(), runtime, precision)
    tiled = upscale(other, image, tile_bytes(other.footprint, 2 * other.footprint.margin + 20))
    assert 255 * (tiled - upscale(other, image)).abs().max() <= 0.01


@pytest.mark.parametrize(("runtime", "precision"), FP32 + BF16)
def test_networks_of_other_ends_run(runtime: Runtime, precision: Precision) -> None:
    for ends in (
        "stem_f16_u2 conv_f16_k3_b1_noskip skipsubpixel_x2",
        "stem_f8 conv_f8_k1_b1_noskip",
    ):
        torch.manual_seed(0)
        plain = Network(Genome.parse(ends)).eval()
        other = in_runtime(plain, runtime, precision)
        for sides in ((12, 14), (9, 7)):
            image = smooth(*sides)
            assert (upscale(other, image) - upscale(plain, image)).abs().max() <= 0.01


def test_bf16_sees_the_image_in_full() -> None:
    """The parts of the image add up to it, far below what bfloat16 can hold."""
    image = torch.rand(1, 1, 64, 64)
    high, low, again = split_input(image).bfloat16().float().unbind(1)
    assert torch.equal(high, again)
    assert (high + low - image[:, 0]).abs().max() < 1e-5 < (high - image[:, 0]).abs().max()


def test_a_network_keeps_what_is_known_of_it() -> None:
    model = find_model(SHIPPED)
    other = model.in_runtime("openvino", "fp32")
    assert other.genome == model.genome
    assert repr(other) == repr(model)
    assert without_residual(other.network) is without_residual(model.network)
    again = other.in_runtime("torch", "fp32")  # back
    assert isinstance(without_residual(again.network), Network)
    image = smooth(9, 9)
    assert torch.equal(upscale(again.network, image), upscale(model.network, image))


def test_the_choice_is_remembered(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[object] = []
    fastest = runtimes._fastest

    def counted(*arguments: object, **options: object) -> object:
        measured.append(arguments)
        return fastest(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(runtimes, "_fastest", counted)
    in_runtime(network())
    assert cache.exists()
    in_runtime(network())
    assert len(measured) == 1
    in_runtime(find_model("falsr-tiny-x2").network)  # other weights are another question
    assert len(measured) == 2
    cache.write_text("[damaged")
    in_runtime(network())
    assert len(measured) == 3


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert in_runtime(network()).scale == 2


def test_auto_takes_only_what_is_as_accurate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "cpu_has_bf16", lambda: True)
    plain = network()
    wrong = {runtime: lambda *module: lambda x: plain(x[:, :1]) + 0.1 for runtime in Runtime}
    monkeypatch.setattr(runtimes, "_RUNNERS", wrong)
    assert in_runtime(plain)(smooth(9, 9)).equal(plain(smooth(9, 9)))


def test_closeness_is_in_levels() -> None:
    exact = torch.full((1, 1, 20, 20), 0.5)
    for levels, close in ((0.9, True), (1.1, False), (float("nan"), False)):
        other = exact.clone()
        other[0, 0, 0, 0] += levels / 255
        assert is_close(other, exact) is close
    assert not is_close(exact + 0.4 / 255, exact)  # everywhere: visible in the PSNR


def test_without_other_runtimes_auto_is_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    monkeypatch.setattr(runtimes, "cpu_has_bf16", lambda: False)
    plain = network()
    assert without_residual(in_runtime(plain)) is without_residual(plain)
    monkeypatch.setattr("falsr_nas.models.portable.find_spec", lambda name: None)
    for runtime in (Runtime.onnxruntime, Runtime.openvino):
        with pytest.raises(UserError, match=f"runtime={runtime} needs .*pip install"):
            in_runtime(plain, runtime)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="onnxruntime does not have"):
        in_runtime(network(), Runtime.onnxruntime, Precision.bf16)
    bicubic = find_model("bicubic").network
    assert in_runtime(bicubic) is bicubic
    with pytest.raises(UserError, match="runs in torch and float32 only"):
        in_runtime(bicubic, Runtime.openvino)


def test_the_commands_take_the_settings(tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", network(), {})
    Image.fromarray((255 * smooth(60, 70)[0, 0]).byte().numpy()).save(tmp_path / "a.png")
    outputs = []
    for runtime, precision in (
        ("torch", "fp32"),
        ("openvino", "fp32"),
        ("auto", "bf16"),
        ("auto", "auto"),
    ):
        config = UpscaleConfig(
            model=str(tmp_path / "m.safetensors"),
            input=(str(tmp_path / "a.png"),),
            output=str(tmp_path / f"{runtime}-{precision}.png"),
            runtime=Runtime(runtime),
            precision=Precision(precision),
        )
        (done,) = upscale_files(config)
        outputs.append(np.asarray(Image.open(done.target)).astype(int))
    farthest = [int(np.abs(output - outputs[0]).max()) for output in outputs]
    assert farthest[1] <= 1
    assert farthest[2] <= 2
    assert farthest[3] == 0  # of few pixels: PyTorch
    folder = tmp_path / "set"
    folder.mkdir()
    Image.fromarray((255 * smooth(60, 70)[0, 0]).byte().numpy()).convert("RGB").save(
        folder / "a.png"
    )
    scores = [
        evaluate(
            EvaluateConfig(model=SHIPPED, data_root=str(tmp_path), sets=("set",), runtime=runtime)
        )
        for runtime in (Runtime.torch, Runtime.openvino)
    ]
    assert scores[0].mult_adds == scores[1].mult_adds
    assert scores[0].sets[0].mean.psnr == pytest.approx(scores[1].sets[0].mean.psnr, abs=0.01)
