"""Models as folders: saved and loaded unchanged, and refused where config and weights differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import falsr_nas
from falsr_nas import convert
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.core.errors import UserError
from falsr_nas.models.model_file import Model, find_model, load_model, save_model
from falsr_nas.models.shipped import SHIPPED_MODELS, shipped_folder
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.space.genome import Genome

GENOME = Genome.parse("stem_f8 conv_f8_k1_b2_isskip groupConG2_f8_k3_b1_noskip | 0->2 0->3")
MODELS = {
    "image": Network(GENOME),
    "residual": BilinearResidual(Network(GENOME)),
}


def saved(folder: Path, name: str = "image", card: str | None = None) -> Path:
    falsr_nas.save_pretrained(Model(MODELS[name].eval(), name, {"source": "a test"}), folder, card)
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_models_are_loaded_as_saved(name: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "new" / "found v1.0", name)
    for model in (
        falsr_nas.from_pretrained(folder),
        falsr_nas.from_pretrained(str(folder)),
        find_model(str(folder)),
    ):
        assert (model.name, model.provenance) == ("found v1.0", {"source": "a test"})
        assert model.path == folder
        assert type(model.network) is type(MODELS[name])
        x = torch.rand(1, 1, 9, 8)
        with torch.inference_mode():
            torch.testing.assert_close(model.network(x), MODELS[name](x))
    assert load_model(folder / "model.safetensors").provenance == {"source": "a test"}


def test_what_a_folder_holds(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", card="# A card\n")
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    assert (folder / "README.md").read_text() == "# A card\n"
    config = json.loads((folder / "config.json").read_text())
    assert Genome.from_json(config["genome"]) == GENOME
    assert (config["target"], config["scale"], config["provenance"]) == (
        "image",
        2,
        {"source": "a test"},
    )
    saved(folder, "residual")  # in its place; a card that is there stays
    assert json.loads((folder / "config.json").read_text())["target"] == "residual"
    assert (folder / "README.md").read_text() == "# A card\n"


def test_a_relative_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved(tmp_path / "m"))
    assert falsr_nas.from_pretrained(".").name == "m"


def test_weights_alone_are_enough(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", MODELS["residual"], {})
    assert isinstance(falsr_nas.from_pretrained(tmp_path).network, BilinearResidual)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (b"{", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b"{}", "its scale differs"),
        (b'{"scale": 3}', "its scale differs"),
        (b'{"scale": 2, "genome": null}', "its genome differs from that of model.safetensors"),
        (
            json.dumps({"scale": 2, "genome": GENOME.to_json(), "target": "residual"}).encode(),
            "its target differs",
        ),
    ],
)
def test_configs_of_another_network(config: bytes, match: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    (folder / "config.json").write_bytes(config)
    with pytest.raises(UserError, match=match) as caught:
        falsr_nas.from_pretrained(folder)
    assert str(folder / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="someone/falsr-a: no such folder"):
        falsr_nas.from_pretrained("someone/falsr-a")
    with pytest.raises(UserError, match="falsr-nan: no such folder, and no model .*falsr-nano-x2"):
        find_model("falsr-nan")
    with pytest.raises(UserError, match=r"it has no model\.safetensors"):
        falsr_nas.from_pretrained(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot make the folder"):
        saved(tmp_path / "file" / "m")
    with pytest.raises(AttributeError, match="from_trained"):
        falsr_nas.from_trained  # noqa: B018


@pytest.mark.parametrize("output", ["folder", "folder/", "v1.0/"])
def test_convert_writes_folders(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m.safetensors", MODELS["image"], {"source": "a test"})
    monkeypatch.setattr(sys, "argv", ["convert", "input=m.safetensors", f"output={output}"])
    convert.main()
    monkeypatch.setattr(sys, "argv", ["convert", f"input={output}", "output=again.safetensors"])
    convert.main()
    assert load_model(tmp_path / "again.safetensors").provenance == {"source": "a test"}


@pytest.mark.parametrize("output", ["copy.safetensors", "copy"])
def test_convert_returns_the_model(
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m.safetensors", MODELS["residual"], {"source": "a test"})
    model = convert.convert(convert.ConvertConfig(input="m.safetensors", output=output))
    assert (model.path, model.name) == (Path(output), "copy")
    assert model.provenance == {"source": "a test"}
    assert isinstance(model.network, BilinearResidual)
    assert model.network.network.genome == GENOME
    assert capsys.readouterr() == ("", "")


def test_the_import_is_light() -> None:
    code = (
        "import sys, falsr_nas\n"
        "assert 'from_pretrained' in falsr_nas.__all__\n"
        "assert not {'torch', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_models_are_loaded_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # names come first
    for model in (falsr_nas.from_pretrained(name), find_model(name)):
        assert model.name == name
        assert f"-x{model.network.scale}" in name
        assert isinstance(model.network, BilinearResidual)
    with pytest.raises(UserError, match=r"it has no model\.safetensors"):
        find_model(f"./{name}")


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_what_a_shipped_folder_holds(name: str) -> None:
    folder = shipped_folder(name)
    assert folder is not None
    assert (folder / "model.safetensors").stat().st_size < 300_000
    model, card = falsr_nas.from_pretrained(name), (folder / "README.md").read_text()
    assert str(model.network.network.genome) in card
    for part in ("## Scores", "## Training", "## License", "| Set5 | Set14 | B100 |"):
        assert part in card


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_models_score_what_their_cards_say(name: str, data_root: Path) -> None:
    sets = {"Set5": benchmark_files(data_root / "benchmark" / "Set5")}
    mean = score_model(find_model(name), sets, ScoringProtocol.standard).sets[0].mean
    folder = shipped_folder(name)
    assert folder is not None
    card = (folder / "README.md").read_text()
    assert f"| this model | {mean.psnr:.2f}/{mean.ssim:.4f} |" in card
