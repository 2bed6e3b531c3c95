"""Scores of models on sets: published scores, sets in folders, and the commands."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from falsr_nas import convert, evaluate
from falsr_nas.benchmark.image_quality import score
from falsr_nas.benchmark.peers import PEERS
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import (
    published_as,
    score_model,
    score_table,
    to_json,
)
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.core.errors import UserError
from falsr_nas.data.degradation import downscale
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import read_image
from falsr_nas.evaluate import EvaluateConfig
from falsr_nas.models.model_file import Model, find_model, load_model, save_model
from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED

GOLDEN = {
    ("FALSR-A", "Set5"): (37.8218, 0.95946),
    ("FALSR-A", "Set14"): (33.5484, 0.91683),
    ("FALSR-A", "B100"): (32.1150, 0.89870),
    ("FALSR-B", "Set5"): (37.6140, 0.95852),
    ("FALSR-B", "Set14"): (33.2916, 0.91438),
    ("FALSR-B", "B100"): (31.9690, 0.89666),
    ("FALSR-C", "Set5"): (37.6604, 0.95863),
    ("FALSR-C", "Set14"): (33.2593, 0.91401),
    ("FALSR-C", "B100"): (31.9601, 0.89652),
}
"""PSNR and SSIM of the authors' graphs by their script; rounded, they are those of Table I."""

BICUBIC = {
    (ScoringProtocol.falsr, "Set5"): (33.610, 0.9292),
    (ScoringProtocol.falsr, "Set14"): (30.301, 0.8691),
    (ScoringProtocol.falsr, "B100"): (29.534, 0.8426),
    (ScoringProtocol.standard, "Set5"): (33.679, 0.9304),
    (ScoringProtocol.standard, "Set14"): (30.329, 0.8700),
    (ScoringProtocol.standard, "B100"): (29.563, 0.8435),
}


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [pytest.param(*key, marks=[pytest.mark.slow] if key[1] == "B100" else []) for key in GOLDEN],
)
def test_published_networks_score_as_published(name: str, benchmark: str, data_root: Path) -> None:
    model = load_model(data_root / "models" / f"{name}.pb")
    files = benchmark_files(data_root / "benchmark" / benchmark)
    result = score_model(model, {benchmark: files}, ScoringProtocol.falsr)
    psnr, ssim = GOLDEN[name, benchmark]
    assert result.sets[0].mean.psnr == pytest.approx(psnr, abs=5e-4)
    assert result.sets[0].mean.ssim == pytest.approx(ssim, abs=2e-5)
    assert result.published == name
    assert round(result.sets[0].mean.psnr, 2) == pytest.approx(
        PEERS[name].psnr[benchmark], abs=0.0051
    )  # 32.115 is printed as 32.12
    assert result.sets[0].mean.ssim == pytest.approx(PEERS[name].ssim[benchmark], abs=1e-4)


@pytest.mark.parametrize(("protocol", "benchmark"), BICUBIC)
def test_bicubic(protocol: ScoringProtocol, benchmark: str, data_root: Path) -> None:
    files = benchmark_files(data_root / "benchmark" / benchmark)
    assert all(file.lr for file in files)
    one = score_model(find_model("bicubic"), {benchmark: files}, protocol).sets[0].mean
    assert (one.psnr, one.ssim) == (
        pytest.approx(BICUBIC[protocol, benchmark][0], abs=6e-4),
        pytest.approx(BICUBIC[protocol, benchmark][1], abs=6e-5),
    )


PUBLISHED_BICUBIC = {
    ("Set5", 3): 30.39,
    ("Set5", 4): 28.42,
    ("Set14", 3): 27.55,
    ("Set14", 4): 26.00,
    ("B100", 3): 27.21,
    ("B100", 4): 25.96,
}


@pytest.mark.parametrize(
    ("benchmark", "scale"),
    [
        pytest.param(*key, marks=[pytest.mark.slow] if key[0] == "B100" else [])
        for key in PUBLISHED_BICUBIC
    ],
)
def test_bicubic_of_other_scales(benchmark: str, scale: int, data_root: Path) -> None:
    """LR images are made from the HR images; the LR images of the sets are for x2."""
    files = benchmark_files(data_root / "benchmark" / benchmark)
    result = score_model(
        find_model(f"bicubic_x{scale}"), {benchmark: files}, ScoringProtocol.standard
    )
    assert result.scale == scale
    psnr = result.sets[0].mean.psnr
    if benchmark == "Set14":
        # The published mean has one of the two grey images scored in full range, not in studio
        # range, as if the file had one channel.
        psnr -= 20 * math.log10(255 / 219) / len(files)
    # Published LR images are unrounded luma planes; ours are 8-bit RGB.
    assert psnr == pytest.approx(PUBLISHED_BICUBIC[benchmark, scale], abs=0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small HR images, one of odd size, and a note."""
    rng = np.random.default_rng(0)
    place = tmp_path / "holiday"
    place.mkdir()
    for name, size in (("b", (30, 40)), ("a", (41, 27)), ("c", (24, 24))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
            place / f"{name}.png"
        )
    (place / "notes.txt").write_text("no image")
    return place


def test_a_folder_of_hr_images(folder: Path) -> None:
    result = score_model(
        Model(Bicubic(), "bicubic", {}),
        {"holiday": benchmark_files(folder)},
        ScoringProtocol.standard,
    )
    assert list(result.sets[0].images) == ["a", "b", "c"]
    hr = read_image(folder / "a.png")[:, :40, :26]
    lr = downscale(hr)
    expected = score(
        (255 * Bicubic()(lr[None] / 255)).clamp(0, 255).round(), hr[None], ScoringProtocol.standard
    )[0]
    assert result.sets[0].images["a"].psnr == pytest.approx(expected.psnr)
    assert result.sets[0].mean.psnr == pytest.approx(
        sum(image.psnr for image in result.sets[0].images.values()) / 3
    )


def test_the_order_is_the_folders_however_many_threads(folder: Path) -> None:
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(
                score_model(
                    find_model("bicubic"),
                    {"holiday": benchmark_files(folder)},
                    ScoringProtocol.falsr,
                )
            )
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert results[0] == results[1]
    assert list(results[0].sets[0].images) == ["a", "b", "c"]


def test_names_must_differ(folder: Path) -> None:
    Image.new("RGB", (32, 32)).save(folder / "a.jpg")
    with pytest.raises(DataError, match="same name"):
        benchmark_files(folder)


def test_pairs_need_both(folder: Path) -> None:
    (folder / "a.png").rename(folder / "a_HR.png")
    assert [file.hr.name for file in benchmark_files(folder)] == ["a_HR.png"]
    (folder / "b.png").rename(folder / "b_HR.png")
    Image.new("RGB", (20, 15)).save(folder / "b_LR.png")
    with pytest.raises(DataError, match="a_HR.png has no LR image"):
        benchmark_files(folder)


def test_a_pair_that_does_not_fit_is_named(folder: Path) -> None:
    (folder / "b.png").rename(folder / "b_HR.png")
    Image.new("RGB", (21, 15)).save(folder / "b_LR.png")
    with pytest.raises(UserError, match="b_LR.png is 21x15"):
        score_model(
            Model(Bicubic(), "bicubic", {}),
            {"x": benchmark_files(folder)},
            ScoringProtocol.standard,
        )


def test_published_names() -> None:
    genome = PUBLISHED["FALSR-B"]
    with torch.device("meta"):
        assert (
            published_as(Network(genome)) == published_as(Network(genome.canonical())) == "FALSR-B"
        )
        assert published_as(BilinearResidual(Network(genome))) is None
        assert published_as(Network(Genome.parse("conv_f4_k1_b1_noskip"))) is None
    assert published_as(Bicubic()) is None


def test_equal_images_have_no_psnr_in_json(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "flat.png")
    content = to_json(
        score_model(
            Model(Bicubic(), "bicubic", {}),
            {"flat": benchmark_files(tmp_path)},
            ScoringProtocol.standard,
        )
    )
    assert content["sets"]["flat"]["psnr"] is None
    assert content["sets"]["flat"]["images"]["flat"]["ssim"] == pytest.approx(1)
    json.dumps(content, allow_nan=False)


def test_table_shows_the_published_row(folder: Path) -> None:
    torch.manual_seed(0)
    (folder.parent / "Set5").symlink_to(folder)
    result = score_model(
        Model(Network(PUBLISHED["FALSR-B"]).eval(), "mine", {}),
        {"Set5": benchmark_files(folder.parent / "Set5")},
        ScoringProtocol.falsr,
    )
    table = score_table(result)
    assert "falsr" in str(table.title)
    assert list(table.columns[0].cells) == ["mine", "FALSR-B, published"]
    assert list(table.columns[3].cells)[1] == "37.61/0.9585"


@pytest.mark.parametrize("threads", [None, 3])
def test_evaluate_returns_the_scores(
    threads: int | None, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_num_threads()
    config = EvaluateConfig(
        model="bicubic",
        data_root=str(tmp_path),
        sets=["holiday"],  # type: ignore[arg-type]
        protocol="falsr",  # type: ignore[arg-type]
        threads=threads,
        output=str(tmp_path / "scores.json"),
    )
    result = evaluate.evaluate(config)
    expected = score_model(
        find_model("bicubic"), {"holiday": benchmark_files(folder)}, ScoringProtocol.falsr
    )
    assert result == expected
    written = json.loads((tmp_path / "scores.json").read_text())
    assert re.fullmatch("[0-9a-f]{32}", written["sets"]["holiday"].pop("sha256"))
    assert written == to_json(expected)
    assert capfd.readouterr() == ("", "")
    assert torch.get_num_threads() == before


def test_threads_are_restored_after_an_error(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with pytest.raises(UserError, match=r"none\.pb"):
        evaluate.evaluate(EvaluateConfig(model="none.pb", data_root=str(tmp_path), threads=3))
    assert torch.get_num_threads() == before


def run(command: object, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [command.__name__, *arguments])  # type: ignore[attr-defined]
    try:
        command.main()  # type: ignore[attr-defined]
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_commands(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(
        tmp_path / "m.safetensors",
        Network(Genome.parse("stem_f4 conv_f4_k1_b1_noskip")),
        {"source": "a test"},
    )
    assert run(convert, monkeypatch, "input=m.safetensors", "output=a copy.safetensors") == 0
    assert load_model(tmp_path / "a copy.safetensors").provenance == {"source": "a test"}
    capsys.readouterr()
    arguments = [
        "model=a copy.safetensors",
        f"data_root={tmp_path}",
        "sets=[holiday]",
        "output=j.json",
        "save_images=out",
        "self_ensemble=true",
    ]
    assert run(evaluate, monkeypatch, *arguments, "protocol=falsr", "memory_limit=1") == 0
    assert "protocol falsr, self-ensemble" in capsys.readouterr().out
    content = json.loads((tmp_path / "j.json").read_text())
    assert (content["model"], content["protocol"], content["self_ensemble"]) == (
        "a copy",
        "falsr",
        True,
    )
    for name, size in (("a", (26, 40)), ("b", (40, 30)), ("c", (24, 24))):
        assert Image.open(tmp_path / "out" / "holiday" / f"{name}_SR.png").size == size
    saved = read_image(tmp_path / "out" / "holiday" / "c_SR.png")
    expected = score(saved[None], read_image(folder / "c.png")[None], ScoringProtocol.falsr)[0]
    assert content["sets"]["holiday"]["images"]["c"]["psnr"] == pytest.approx(expected.psnr)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data_root=."], "model is required"),
        (["model=none.pb", "data_root=."], "none.pb"),
        (["model=bicubic", "data_root=nowhere"], "nowhere/Set5"),
        (["model=bicubic", "data_root=.", "sets=[]"], "sets is empty"),
        (["model=bicubic", "data_root=.", "protocol=ours"], "standard, falsr"),
        (["model=bicubic", "data_root=.", "memory_limit=0"], "memory_limit is 0"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(evaluate, monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_settings() -> None:
    for wrong in (
        {"sets": ("a/x", "b/x")},
        {"threads": 0},
        {"sets": ("",)},
        {"protocol": "ours"},
    ):
        with pytest.raises(UserError):
            EvaluateConfig(model="m", data_root="d", **wrong)  # type: ignore[arg-type]
