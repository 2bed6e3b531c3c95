"""Upscaling of photographs: tiles equal the whole image, for all channels and bits."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.core.errors import UserError
from falsr_nas.inference.memory import MIB
from falsr_nas.models.model_file import save_model
from falsr_nas.networks.bicubic import Bicubic, bicubic
from falsr_nas.networks.network import Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.photo.photograph import Photograph, upscale_photograph
from falsr_nas.space.genome import Genome

PLENTY = 4096 * MIB
GENOME = Genome.parse("stem_f8 conv_f8_k3_b2_isskip groupConG2_f8_k3_b1_noskip | 0->2 0->3")


def network() -> Network:
    torch.manual_seed(0)
    return Network(GENOME).eval()


NETWORKS: dict[str, SuperResolver] = {"luma": network(), "colour": Bicubic()}


OF_ALL_SCALES: dict[str, SuperResolver] = {
    **NETWORKS,
    "luma x3": Network(Genome.parse("stem_f8 conv_f8_k3_b2_isskip subpixel_x3 | 0->2")).eval(),
    "colour x4": Bicubic(4),
}


def noise(
    height: int, width: int, channels: int, dtype: type = np.uint8, seed: int = 0
) -> np.ndarray:
    return np.random.default_rng(seed).integers(
        0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype
    )


def upscaled(network: SuperResolver, pixels: np.ndarray, **options) -> np.ndarray:
    return upscale_photograph(network, Photograph(pixels), **({"memory": PLENTY} | options)).pixels


@pytest.mark.parametrize("kind", OF_ALL_SCALES)
@pytest.mark.parametrize("self_ensemble", [False, True])
def test_colours_are_those_of_the_standard_protocol(kind: str, self_ensemble: bool) -> None:
    pixels = noise(23, 31, 3)
    expected = super_resolve(
        OF_ALL_SCALES[kind],
        torch.from_numpy(pixels).permute(2, 0, 1),
        ScoringProtocol.standard,
        self_ensemble=self_ensemble,
    )
    assert np.array_equal(
        upscaled(OF_ALL_SCALES[kind], pixels, self_ensemble=self_ensemble),
        expected.permute(1, 2, 0).numpy(),
    )


@pytest.mark.parametrize("kind", OF_ALL_SCALES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiled_equals_whole(
    kind: str, channels: int, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise(150, 131, channels, dtype)
    if channels in (2, 4):
        pixels[40:90, 30:100, -1] = 0
    expected = upscaled(OF_ALL_SCALES[kind], pixels, self_ensemble=channels == 3)
    monkeypatch.setattr(
        "falsr_nas.photo.photograph._memory_for_tiles",
        lambda footprint, *_: 10 * footprint.floats * 71**2,
    )
    shares: list[float] = []
    output = upscaled(
        OF_ALL_SCALES[kind], pixels, self_ensemble=channels == 3, on_tile=shares.append
    )
    assert output.dtype == dtype
    assert len(shares) >= 6
    assert sum(shares) == pytest.approx(1)
    assert np.abs(output.astype(int) - expected).max() <= 1


def test_16_bit_grey_is_the_float_computation_rounded() -> None:
    pixels = noise(21, 18, 1, np.uint16)
    with torch.inference_mode():
        exact = deepcopy(NETWORKS["luma"]).double()(
            torch.from_numpy(pixels[..., 0] / 65535)[None, None]
        )
    expected = (65535 * exact[0, 0]).clamp(0, 65535).round().numpy()
    found = upscaled(NETWORKS["luma"], pixels)[..., 0]
    assert np.abs(found - expected).max() <= 1
    assert len(np.unique(found % 256)) > 100  # not only multiples of 257


def test_grey_equals_rgb_with_equal_channels() -> None:
    grey = noise(20, 20, 1)
    for network in NETWORKS.values():
        colours = upscaled(network, grey.repeat(3, axis=2)).astype(int)
        assert np.abs(upscaled(network, grey) - colours).max() <= 1


def test_alpha_is_interpolated_and_opaque_stays_opaque() -> None:
    pixels = noise(30, 30, 4)
    expected = (
        (255 * bicubic(torch.from_numpy(pixels[..., 3] / 255)[None, None]))
        .clamp(0, 255)
        .round()[0, 0]
        .numpy()
    )
    assert np.abs(upscaled(NETWORKS["luma"], pixels)[..., 3] - expected).max() <= 1
    pixels[..., 3] = 255
    output = upscaled(NETWORKS["luma"], pixels)
    assert (output[..., 3] == 255).all()
    assert np.array_equal(output[..., :3], upscaled(NETWORKS["luma"], pixels[..., :3]))


@pytest.mark.parametrize("kind", NETWORKS)
def test_hidden_colours_do_not_affect_visible_ones(kind: str) -> None:
    """The edge of an orange disc stays orange, whatever the hidden colour around it is."""
    rows, columns = np.mgrid[:48, :48]
    visible = (rows - 24) ** 2 + (columns - 24) ** 2 < 15**2
    discs = []
    for hidden in ((0, 0, 255), (0, 255, 0)):
        pixels = np.zeros((48, 48, 4), np.uint8)
        pixels[..., :3] = np.where(visible[..., None], (255, 128, 0), hidden)
        pixels[..., 3] = np.where(visible, 255, 0)
        discs.append(upscaled(NETWORKS[kind], pixels))
    shown = discs[0][..., 3] > 0
    assert np.array_equal(discs[0][shown], discs[1][shown])
    if kind == "colour":
        assert np.abs(discs[0][shown][:, :3].astype(int) - (255, 128, 0)).max() <= 1


def test_error_about_memory_says_how_much_is_needed() -> None:
    photograph = Photograph(np.zeros((1000, 2000, 3), np.uint8))
    with pytest.raises(
        UserError, match=r"2000x1000 pixels needs (\d+) MiB .* memory_limit is 100"
    ) as caught:
        upscale_photograph(NETWORKS["luma"], photograph, 100 * MIB)
    need = int(str(caught.value).split("needs ")[1].split()[0])
    upscale_photograph(Bicubic(), Photograph(np.zeros((10, 20, 3), np.uint8)), need * MIB)
    with pytest.raises(UserError):
        upscale_photograph(NETWORKS["luma"], photograph, (need - 1) * MIB)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc"
)
@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_the_process_stays_within_its_memory_limit(tmp_path: Path, runtime: str) -> None:
    """Measure the peak memory of the command on an image that does not fit in memory as floats."""
    save_model(
        tmp_path / "m.safetensors", Network(Genome.parse("stem_f32 conv_f32_k3_b1_noskip")), {}
    )
    Image.fromarray(noise(1000, 1400, 3)).save(tmp_path / "in.jpg")
    code = (
        "import re, sys\n"
        "from falsr_nas import upscale\n"
        "upscale.main()\n"
        "status = open('/proc/self/status').read()\n"
        "print('peak', int(re.search(r'VmHWM:\\s*(\\d+)', status)[1]) / 1024)\n"
    )
    files = [
        f"model={tmp_path / 'm.safetensors'}",
        f"input={tmp_path / 'in.jpg'}",
        f"output={tmp_path / 'out.jpg'}",
    ]
    arguments = [*files, f"runtime={runtime}", "memory_limit=600"]
    output = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    assert float(output.split("peak ")[1]) <= 600  # a single pass would take 2.8 GB
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (2800, 2000)
