"""Models as objects: images in memory get the pixels that the command writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import falsr_nas
from falsr_nas.core.errors import UserError
from falsr_nas.describe import DescribeConfig, describe
from falsr_nas.models import model_file
from falsr_nas.models.model import Model
from falsr_nas.models.model_file import find_model, load_model, save_model
from falsr_nas.models.names import MODEL_FILES, names_model
from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.photo.photograph_file import read_photograph
from falsr_nas.space.genome import Genome
from falsr_nas.space.lookup import find_genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.upscale import UpscaleConfig, upscale

NAME = "falsr-nano-x2"
PROFILE = b"a profile"


def noise(channels: int, dtype: type = np.uint8) -> NDArray[np.unsignedinteger]:
    shape = (13, 17, channels) if channels > 1 else (13, 17)
    rng = np.random.default_rng(channels)
    return rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


@pytest.fixture(scope="module")
def model() -> Model:
    return falsr_nas.from_pretrained(NAME)


def by_command(source: Path) -> NDArray[np.unsignedinteger]:
    """The pixels that the command writes, as (H, W, channels)."""
    target = source.with_name(f"{source.stem}_large.png")
    upscale(UpscaleConfig(model=NAME, input=str(source), output=str(target)))
    return read_photograph(target).pixels


def pixels(image: Image.Image) -> NDArray[np.unsignedinteger]:
    values = np.asarray(image)
    return values[..., None] if values.ndim == 2 else values


def palette() -> Image.Image:
    image = Image.fromarray(noise(3)).quantize(16)
    image.info["transparency"] = 3
    return image


def oriented() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "(c) me"
    return exif


IMAGES = {
    "grey.png": (Image.fromarray(noise(1)), "L"),
    "grey_alpha.png": (Image.fromarray(noise(2)), "LA"),
    "rgb.png": (Image.fromarray(noise(3)), "RGB"),
    "rgba.png": (Image.fromarray(noise(4)), "RGBA"),
    "bilevel.png": (Image.fromarray(noise(1)).convert("1"), "L"),
    "palette.png": (palette(), "RGBA"),
    "grey_16.png": (Image.fromarray(noise(1, np.uint16)), "I;16"),
    "cmyk.tif": (Image.fromarray(noise(3)).convert("CMYK"), "RGB"),
    "oriented.jpg": (Image.fromarray(noise(3)), "RGB"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_pillow_images_and_paths_get_the_pixels_of_the_command(
    name: str, model: Model, tmp_path: Path
) -> None:
    image, mode = IMAGES[name]
    path = tmp_path / name
    image.save(path, **({"exif": oriented()} if name == "oriented.jpg" else {}))
    expected = by_command(path)
    with Image.open(path) as opened:
        results = [model.upscale(opened), model.upscale(path), model.upscale(str(path))]
    for result in results:
        assert isinstance(result, Image.Image)
        assert result.mode == mode
        assert np.array_equal(pixels(result), expected)
    if name == "oriented.jpg":
        assert results[0].size == (26, 34)
        kept = results[0].getexif()
        assert (kept.get(0x0112), kept.get(0x8298)) == (None, "(c) me")


def test_profile_and_exif_data_are_kept_by_saving(model: Model, tmp_path: Path) -> None:
    image = Image.fromarray(noise(3))
    image.info["icc_profile"] = PROFILE
    result = model.upscale(image)
    result.save(tmp_path / "larger.png")
    with Image.open(tmp_path / "larger.png") as written:
        assert written.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_get_the_pixels_of_the_command(
    channels: int, dtype: type, model: Model, tmp_path: Path
) -> None:
    array = noise(channels, dtype)
    before = array.copy()
    result = model.upscale(array)
    assert (result.dtype, result.ndim) == (array.dtype, array.ndim)
    assert np.array_equal(array, before), "the image is not changed"
    if channels == 1:
        assert np.array_equal(model.upscale(array[..., None])[..., 0], result)
    peak = np.iinfo(dtype).max
    for kind in (np.float32, np.float64):
        floats = model.upscale((array / peak).astype(kind))
        assert (floats.dtype, floats.shape) == (kind, result.shape)
        assert floats.min() >= 0 and floats.max() <= 1
        # A rounded value is off by half a level, and float32 itself by a few millionths.
        assert np.abs(floats * peak - result.astype(np.float64)).max() < 0.51 + peak * 1e-5
    if dtype == np.uint8:
        Image.fromarray(array).save(tmp_path / "array.png")
        shown = by_command(tmp_path / "array.png")
        assert np.array_equal(result if result.ndim == 3 else result[..., None], shown)


def test_arrays_in_any_order_and_position(model: Model) -> None:
    array = noise(3)
    expected = model.upscale(array)
    assert np.array_equal(model.upscale(np.asfortranarray(array)), expected)
    flipped = model.upscale(np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1])
    assert np.array_equal(flipped, expected)
    deep = noise(3, np.uint16)
    assert np.array_equal(model.upscale(deep.astype(">u2")), model.upscale(deep))
    read_only = array.copy()
    read_only.flags.writeable = False
    assert np.array_equal(model.upscale(read_only), expected)


def test_self_ensemble_and_the_limit_of_memory_are_those_of_the_command(model: Model) -> None:
    array = noise(3)
    assert not np.array_equal(model.upscale(array, self_ensemble=True), model.upscale(array))
    with pytest.raises(UserError, match="memory_limit is 10"):
        model.upscale(array, memory_limit=10)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (3, "image is a int: give an image of Pillow, an array of numpy, or a path"),
        (torch.zeros(3, 8, 8), "image is a Tensor"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\): give \(H, W\)"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\)"),
        (np.zeros((8, 8), np.int64), "array of int64: give uint8 in 0..255"),
        (np.zeros((8, 8), bool), "array of bool"),
        (np.full((8, 8), 200.0), "floats from 200 to 200: give floats in 0..1"),
        (np.full((8, 8), np.nan), "floats from nan"),
        (np.full((8, 8), -0.1), "floats from -0.1"),
        (Image.new("F", (8, 8)), "its pixels have 32 bits"),
        (Image.new("LAB", (8, 8)), "its colour mode LAB is not supported"),
        ("none.png", "none.png cannot be read"),
    ],
)
def test_what_cannot_be_upscaled_is_one_line(image: object, says: str, model: Model) -> None:
    with pytest.raises(UserError, match=says) as caught:
        model.upscale(image)  # type: ignore[call-overload]
    assert "\n" not in str(caught.value)


def test_what_pillow_cannot_hold_is_refused(model: Model, tmp_path: Path) -> None:
    from falsr_nas.photo.photograph import Photograph
    from falsr_nas.photo.photograph_file import save_photograph

    save_photograph(Photograph(noise(3, np.uint16)), tmp_path / "deep.png", quality=95)
    with pytest.raises(UserError, match="deep.png: Pillow has no images of 16 bits with more"):
        model.upscale(tmp_path / "deep.png")


def test_a_model_says_what_it_is() -> None:
    network = Network(Genome.parse("stem_f8 conv_f8_k3_b1_noskip subpixel_x3 |"))
    model = Model(BilinearResidual(network), "mine", {})
    assert (model.scale, model.genome) == (3, network.genome)
    size = sum(parameter.numel() for parameter in network.parameters())
    assert repr(model) == (
        f"Model('mine', x3, {size:,} parameters, 'stem_f8 conv_f8_k3_b1_noskip subpixel_x3 |')"
    )
    assert repr(find_model("bicubic")) == "Model('bicubic', x2, 0 parameters, Bicubic)"
    assert repr(network.genome) == "Genome.parse('stem_f8 conv_f8_k3_b1_noskip subpixel_x3 |')"
    assert eval(repr(network.genome)) == network.genome


def test_names_in_any_case(model: Model) -> None:
    assert falsr_nas.from_pretrained("FALSR-Nano-X2").name == model.name == NAME
    assert find_model("FALSR-NANO-X2").name == NAME
    assert find_model("Bicubic_X3").name == "bicubic_x3"
    assert find_genome("falsr-a") == find_genome("FALSR-A")


def test_describe_takes_models(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_model(file, model.network, {})
    falsr_nas.save_pretrained(model, tmp_path / "folder")
    for name in (NAME, NAME.upper(), str(file), str(tmp_path / "folder")):
        assert describe(DescribeConfig(genome=name)).genome == model.genome
    for name, says in (
        (str(tmp_path), "not the folder of a model"),
        ("none.onnx", "none.onnx: No such file"),
        ("falsr-tiny", "FALSR-C, falsr-nano-x2, falsr-tiny-x2"),
    ):
        with pytest.raises(UserError, match=says):
            describe(DescribeConfig(genome=name))


def test_describe_takes_published_names_before_folders_and_long_genomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FALSR-A").mkdir()
    found = describe(DescribeConfig("falsr-a")).genome
    assert found == PUBLISHED["FALSR-A"]
    in_json = json.dumps(found.to_json())
    assert len(in_json) > 255
    assert describe(DescribeConfig(in_json)).genome == found


def test_models_without_a_genome_are_not_described(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.onnx").touch()
    monkeypatch.setattr(model_file, "find_model", lambda name: Model(Bicubic(), name, {}))
    with pytest.raises(UserError, match=r"other.onnx has no genome"):
        describe(DescribeConfig(genome="other.onnx"))


def test_the_suffixes_of_model_files_are_those_that_are_read(tmp_path: Path) -> None:
    for suffix in MODEL_FILES:
        assert names_model(f"some{suffix}")
        with pytest.raises(UserError, match="No such file"):
            load_model(tmp_path / f"none{suffix}")
    assert not names_model("genome.json")
