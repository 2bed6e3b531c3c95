"""Shaders compute what PyTorch does: by their text, in libplacebo, and in mpv."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import shader_text
from falsr_nas import export
from falsr_nas.core.errors import UserError
from falsr_nas.models.model_file import Model, find_model, save_model
from falsr_nas.models.mpv_shader import MOST_CHANNELS, to_shader
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.space.genome import Genome

GENOMES = {
    "chain": "stem_f16 conv_f16_k3_b1_noskip conv_f16_k3_b1_noskip subpixel_x2",
    "narrow": "stem_f6 conv_f6_k3_b2_isskip groupConG2_f6_k1_b1_noskip skipsubpixel_x3",
    "fast": "stem_f8 groupConG2_f8_k3_b2_noskip invertBotConE2_f8_k1_b1_noskip skipsubpixel_x2",
    "links": "stem_f8 invertBotConE2_f8_k3_b2_isskip groupConG4_f12_k3_b2_isskip"
    " conv_f8_k1_b1_noskip subpixel_x2 | 0->2 0,1->3 0,2->4",
    "summed links": "stem_f12 conv_f4_k3_b1_noskip conv_f8_k3_b1_noskip skipsubpixel_x2 | 1->3",
    "four": "stem_f8 conv_f8_k3_b1_noskip subpixel_x4",
    "unshuffled": "stem_f8_u2 conv_f8_k3_b2_isskip skipsubpixel_x2",
    "unshuffled, x3": "stem_f16_u2 conv_f4_k3_b2_isskip groupConG2_f16_k1_b1_noskip subpixel_x3",
}
SHIPPED = ("falsr-nano-x2", "falsr-tiny-x2")
PATIENCE = 300  # seconds


def find(name: str, residual: bool = True) -> Model:
    if name in SHIPPED:
        return find_model(name)
    torch.manual_seed(0)
    built = Network(Genome.parse(GENOMES[name]))
    return Model((BilinearResidual(built) if residual else built).eval(), name, {})


def levels(height: int, width: int) -> np.ndarray:
    """Noise of 8 bits, so that each pixel and each border matters."""
    return np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)


def wanted(model: Model, luma: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        output: np.ndarray = model.network(torch.from_numpy(luma / 255).float()[None, None])[
            0, 0
        ].numpy()
    return output


@pytest.mark.parametrize("name", [*GENOMES, *SHIPPED])
@pytest.mark.parametrize("size", [(9, 13), (8, 6)])
def test_the_text_is_the_network(name: str, size: tuple[int, int]) -> None:
    for residual in (True, False) if name == "chain" else (True,):
        model, luma = find(name, residual), levels(*size)
        output = shader_text.run(to_shader(model), luma / 255, model.scale)
        np.testing.assert_allclose(output, wanted(model, luma), atol=2e-5)


def test_a_shader_keeps_within_what_players_have() -> None:
    for name in (*GENOMES, *SHIPPED):
        for text in shader_text.passes(to_shader(find(name))):
            assert len(shader_text.headers(text, "BIND")) <= 16  # SHADER_MAX_BINDS
            for kind in ("WIDTH", "HEIGHT", "WHEN"):
                (expression,) = shader_text.headers(text, kind)
                assert len(expression.split()) <= 32  # MAX_SZEXP_SIZE
            assert not re.search(r"\b(nan|inf)\b", text)


def test_it_runs_only_where_the_picture_is_shown_larger() -> None:
    for text in shader_text.passes(to_shader(find("chain"))):
        (condition,) = shader_text.headers(text, "WHEN")
        sizes = {"LUMA.w": 100, "LUMA.h": 50}
        for w, h, runs in ((100, 50, 0), (119, 59, 0), (200, 55, 0), (130, 65, 1)):
            assert shader_text.evaluate(condition, {**sizes, "OUTPUT.w": w, "OUTPUT.h": h}) == runs


def test_mistakes(tmp_path: Path) -> None:
    wide = MOST_CHANNELS + 4
    for genome, problem in (
        (f"stem_f{wide} conv_f4_k1_b1_noskip subpixel_x2", f"stem has {wide} channels"),
        ("stem_f64 conv_f64_k3_b2_noskip subpixel_x2", "76804 weights, a shader has at most"),
        ("stem_f16 conv_f16_k3_b1_noskip", "no upsampler of the paper: use subpixel"),
    ):
        save_model(tmp_path / "m.safetensors", Network(Genome.parse(genome)), {})
        with pytest.raises(UserError, match=f"^m: .*{problem}"):
            exported(tmp_path / "m.safetensors", tmp_path / "m.glsl")
    with pytest.raises(UserError, match="bicubic: shaders are for networks of genomes"):
        exported("bicubic", tmp_path / "m.glsl")
    with pytest.raises(UserError, match="leave out benchmark"):
        export.ExportConfig(model="bicubic", output="m.glsl", benchmark="Set5")
    assert not (tmp_path / "m.glsl").exists()


def exported(model: Path | str, path: Path) -> export.ExportedModel:
    return export.export(export.ExportConfig(model=str(model), output=str(path)))


def test_an_operator_that_shaders_lack() -> None:
    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x.mean((2, 3), keepdim=True)

    network = Network(Genome.parse(GENOMES["chain"]))
    network.cells[0] = Mean()
    with pytest.raises(UserError, match="^m: a shader has no operator mean$"):
        to_shader(Model(network, "m", {}))


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nano.glsl"
    monkeypatch.setattr(sys, "argv", ["export", "falsr-nano-x2", str(path)])
    export.main()
    assert capsys.readouterr().out == f"{path}: mpv --glsl-shader={path} VIDEO\n"
    text = path.read_text()
    assert text.startswith("// ")
    assert "invertBotConE2_f12_k1_b1_noskip" in text.partition("//!HOOK")[0]
    model = find("falsr-nano-x2")
    luma = levels(5, 7)
    output = shader_text.run(text, luma / 255, 2)
    np.testing.assert_allclose(output, wanted(model, luma), atol=2e-5)


def write_frame(path: Path, luma: np.ndarray) -> None:
    """Write a frame of yuv444p without colour."""
    path.write_bytes(luma.tobytes() + bytes([128]) * (2 * luma.size))


def in_libplacebo(folder: Path, luma: np.ndarray, scale: int, shader: str | None) -> np.ndarray:
    """What ffmpeg's libplacebo makes of luma, in [0, 1]; in 16 bits."""
    height, width = luma.shape
    write_frame(folder / "in.yuv", luma)
    chosen = ""
    if shader is not None:
        (folder / "shader.glsl").write_text(shader)
        chosen = ":custom_shader_path=shader.glsl"
    enlarge = f"libplacebo=w={scale * width}:h={scale * height}:format=yuv444p16le:dithering=-1"
    filters = f"setparams=range=pc,hwupload,{enlarge}:range=pc{chosen},hwdownload"
    words = "ffmpeg -loglevel error -y -init_hw_device vulkan=v:0 -f rawvideo -pix_fmt yuv444p"
    size = f"{width}x{height}"
    subprocess.run(
        [*words.split(), "-s", size, "-i", "in.yuv"]
        + ["-vf", f"{filters},format=yuv444p16le", "-f", "rawvideo", "out.yuv"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    samples = np.fromfile(folder / "out.yuv", np.uint16)[: scale**2 * luma.size]
    return samples.reshape(scale * height, scale * width) / 65535


@pytest.fixture(scope="module")
def libplacebo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is missing (apt-get install ffmpeg)")
    folder = tmp_path_factory.mktemp("libplacebo")
    try:
        in_libplacebo(folder, levels(16, 16), 2, None)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        pytest.skip(
            f"ffmpeg has no libplacebo, or there is no Vulkan driver (apt-get install"
            f" mesa-vulkan-drivers): {said[0] if said else 'no message'}"
        )
    return folder


SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in (*GENOMES, *SHIPPED)
    if name not in ("fast", "narrow")
]


@pytest.mark.parametrize("name", ["fast", "narrow", *SLOW])
def test_libplacebo_shows_what_pytorch_computes(name: str, libplacebo: Path) -> None:
    model, luma = find(name), levels(23, 37)
    output = in_libplacebo(libplacebo, luma, model.scale, to_shader(model))
    difference = np.abs(output - wanted(model, luma).clip(0, 1)).max() * 255
    assert difference <= 2


SHOT = """
mp.register_event("playback-restart", function()
  mp.add_timeout(1, function()
    mp.commandv("screenshot-to-file", "shot.png", "window")
    mp.commandv("quit")
  end)
end)
"""


def test_mpv_shows_what_pytorch_computes(tmp_path: Path) -> None:
    """In the renderer of mpv itself, vo=gpu, with software OpenGL and a virtual display."""
    for program, package in (("mpv", "mpv"), ("xvfb-run", "xvfb xauth")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing (apt-get install {package})")
    model, luma = find("fast"), levels(96, 128)
    write_frame(tmp_path / "in.yuv", luma)
    (tmp_path / "shader.glsl").write_text(to_shader(model))
    (tmp_path / "shot.lua").write_text(SHOT)
    raw = "--demuxer=rawvideo --demuxer-rawvideo-w=128 --demuxer-rawvideo-h=96"
    shown = "--vo=gpu --gpu-context=x11egl --geometry=256x192 --no-border --no-osc --osd-level=0"
    done = subprocess.run(
        ["xvfb-run", "-a", "-s", "-screen 0 640x480x24", "mpv", "--no-config", "--pause"]
        + [*raw.split(), "--demuxer-rawvideo-mp-format=yuv444p", *shown.split()]
        + ["--vf=format=yuv444p:colorlevels=full", "--dither-depth=no", "--script=shot.lua"]
        + ["--glsl-shader=shader.glsl", "in.yuv"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = done.stdout + done.stderr
    if "suitable GPU context" in said:
        pytest.skip("mpv has no OpenGL here (apt-get install libgl1-mesa-dri)")
    assert (tmp_path / "shot.png").exists(), said
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB"), float).mean(axis=2)
    assert np.abs(shot - 255 * wanted(model, luma).clip(0, 1)).max() <= 2
