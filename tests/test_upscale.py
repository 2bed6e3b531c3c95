"""The upscale command: images and folders, skipping of existing outputs, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from falsr_nas import upscale
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.super_resolution import super_resolve
from falsr_nas.core.errors import UserError
from falsr_nas.data.images import read_image
from falsr_nas.models import model_file
from falsr_nas.models.model_file import Model, find_model, load_model, save_model
from falsr_nas.networks.network import Network
from falsr_nas.photo.jobs import default_output, find_jobs
from falsr_nas.space.genome import Genome
from falsr_nas.upscale import Outcome, UpscaleConfig


def noise(path: Path, height: int = 20, width: int = 24, seed: int = 0) -> Path:
    Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ).save(path)
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a model, and a folder of two photographs, a damaged one and a text."""
    torch.manual_seed(0)
    save_model(
        tmp_path / "m.safetensors",
        Network(Genome.parse("stem_f8 conv_f8_k3_b1_noskip groupConG2_f8_k3_b1_noskip | 0->2")),
        {},
    )
    folder = tmp_path / "holiday, 2024"
    folder.mkdir()
    noise(folder / "b.png", seed=1)
    noise(folder / "a.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["upscale", "model=m.safetensors", *arguments])
    try:
        upscale.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = place / "holiday, 2024", place / "out" / "larger"
    assert run(monkeypatch, "input=holiday, 2024", "output=out/larger") == 2
    printed = capsys.readouterr()
    assert "2 upscaled, 0 up to date, 1 failed" in printed.out
    first, last = printed.err.splitlines()
    assert first.startswith("error: image ") and "broken.png cannot be read" in first
    assert last == "error: 1 of 3 images could not be upscaled: see above"
    assert sorted(stamps(target)) == ["a.png", "b.png"]
    network = load_model(place / "m.safetensors").network
    for name in ("a.png", "b.png"):
        assert torch.equal(
            read_image(target / name),
            super_resolve(network, read_image(source / name), ScoringProtocol.standard),
        )


def test_existing_outputs_are_skipped(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = place / "holiday, 2024", place / "larger"
    (source / "broken.png").unlink()
    assert run(monkeypatch, "input=holiday, 2024", "output=larger") == 0
    before = stamps(target)
    assert run(monkeypatch, "input=holiday, 2024", "output=larger") == 0
    assert stamps(target) == before
    assert "0 upscaled, 2 up to date, 0 failed" in capsys.readouterr().out
    noise(source / "b.png", seed=2)
    later = (target / "b.png").stat().st_mtime + 5
    os.utime(source / "b.png", (later, later))  # changed after it was upscaled
    assert run(monkeypatch, "input=holiday, 2024", "output=larger") == 0
    assert stamps(target)["a.png"] == before["a.png"]
    assert stamps(target)["b.png"] != before["b.png"]
    assert run(monkeypatch, "input=holiday, 2024", "output=larger", "overwrite=true") == 0
    assert stamps(target)["a.png"] != before["a.png"]


def test_one_image_to_a_file_or_a_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(place / "in.png")
    assert run(monkeypatch, "input=in.png", "output=out.webp") == 0
    assert run(monkeypatch, "input=in.png", "output=new/folder") == 0
    assert (
        run(
            monkeypatch,
            "input=in.png",
            "output=new/folder",
            "format=JPG",
            "quality=20",
            "self_ensemble=true",
            "threads=1",
        )
        == 0
    )
    for name, kind in (
        ("out.webp", "WEBP"),
        ("new/folder/in.png", "PNG"),
        ("new/folder/in.jpg", "JPEG"),
    ):
        with Image.open(place / name) as image:
            assert (image.size, image.format) == ((48, 40), kind)


def test_one_image_that_fails_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "input=holiday, 2024/broken.png", "output=out.png") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "broken.png cannot be read" in error
    assert not (place / "out.png").exists()
    transparent = Image.new("RGBA", (8, 8), (1, 2, 3, 4))
    transparent.save(place / "t.png")
    assert run(monkeypatch, "input=t.png", "output=t.jpg") == 2
    assert "image t.png: JPEG cannot hold transparency" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["input=none.png", "output=out.png"], "no input none.png"),
        (["input=none", "output=out"], "no input none"),
        (["input=holiday, 2024", "output=holiday, 2024"], "among the input images"),
        (
            ["input=holiday, 2024", "output=holiday, 2024", "format=jpg"],
            "among the input images",
        ),
        (
            ["input=holiday, 2024/a.png", "output=holiday, 2024/a.png"],
            "among the input images",
        ),
        (["input=holiday, 2024/a.png", "output=holiday, 2024"], "among the input images"),
        (
            ["input=holiday, 2024/notes.txt", "output=out"],
            "image holiday, 2024/notes.txt cannot be read: it is not an image",
        ),
        (["input=holiday, 2024", "output=out", "format=gif"], "format is gif"),
        (
            ["input=holiday, 2024/a.png", "output=out.jpg", "format=png"],
            "give only one of these formats",
        ),
        (["input=holiday, 2024", "output=m.safetensors"], "cannot make the folder m.safetensors"),
        (["input=holiday, 2024", "output=out", "quality=101"], "quality is 101"),
        (["input=holiday, 2024", "output=out", "memory_limit=0"], "memory_limit is 0"),
        (["input=holiday, 2024", "output=out", "threads=0"], "threads is 0"),
        (["input=holiday, 2024/a.png", "output=out.png", "memory_limit=100"], "24x20 pixels needs"),
        (["output=out"], "input is required"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    says: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = stamps(place / "holiday, 2024")
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert stamps(place / "holiday, 2024") == before


def test_two_images_of_one_name(place: Path) -> None:
    noise(place / "holiday, 2024" / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg and a\.png would both become .*a\.webp"):
        find_jobs([f"{place}/holiday, 2024"], f"{place}/out", "webp")
    assert len(find_jobs([f"{place}/holiday, 2024"], f"{place}/out", None)[0]) == 4


def test_an_output_replaces_no_other_input(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.utime(noise(place / "photo_x2.png"), (1, 1))
    noise(place / "photo.png")
    with pytest.raises(UserError, match=r"of photo.png would replace the input photo_x2.png: give"):
        find_jobs(["photo.png", str(place / "photo_x2.png")], None, None)
    for folder in ("x/sub", "y/sub"):
        (place / folder).mkdir(parents=True)
        noise(place / folder / "a.png")
    with pytest.raises(UserError, match=r"would replace the input x/sub/a.png"):
        find_jobs(["y", "x/sub"], "x", None, recursive=True)
    os.utime(place / "photo.png", (0, 0))  # photo_x2.png may be its output
    before = (place / "photo_x2.png").read_bytes()
    assert run(monkeypatch, "input=[photo_x2.png,photo.png]") == 0
    printed = capsys.readouterr().out
    assert "0 upscaled, 1 up to date, 0 failed\noutput: photo_x2.png\nleft out 1: " in printed
    assert (place / "photo_x2.png").read_bytes() == before
    assert not (place / "photo_x2_x2.png").exists()


def test_several_inputs(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (place / name).mkdir()
        noise(place / name / f"{name}.png")
    noise(place / "a.png")
    noise(place / "b.png")
    one = place / "one" / "one.png"
    for inputs, output in (
        ("a.png,b.png", place),
        (f"a.png,{one}", place),  # whose folder is in that one
        (f"one/one.png,{place}/two/two.png", f"{place}/one, {place}/two"),
        (f"one/one.png,{one}", "one/one_x2.png"),  # the same image
    ):
        assert run(monkeypatch, f"input=[{inputs}]") == 0
        assert f"output: {output}\n" in capsys.readouterr().out
    (place / "c.txt").touch()
    (place / "d.txt").touch()
    assert run(monkeypatch, "input=[c.txt,d.txt]") == 2
    assert capsys.readouterr().err.startswith("error: no images in c.txt, d.txt (looked for .png")


def test_all_output_folders_are_made(place: Path) -> None:
    (place / "holiday, 2024" / "sub").mkdir()
    noise(place / "holiday, 2024" / "sub" / "a.png")
    find_jobs(["holiday, 2024"], "out", None, recursive=True)
    assert (place / "out" / "sub").is_dir()


def test_an_output_that_cannot_be_written_does_not_stop_the_others(place: Path) -> None:
    (place / "larger" / "a.png").mkdir(parents=True)  # in the way
    failures: list[str] = []
    config = UpscaleConfig("m.safetensors", "holiday, 2024", "larger")
    found = upscale.upscale(config, on_failure=failures.append)
    assert [one.outcome for one in found[:2]] == [Outcome.failed, Outcome.upscaled]
    assert failures[0].startswith("cannot write larger/a.png")


def test_killed_process_leaves_no_incomplete_output(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed while it writes the second output."""
    (place / "holiday, 2024" / "broken.png").unlink()
    code = (
        "import os, signal\n"
        "from PIL import Image\n"
        "from falsr_nas import upscale\n"
        "save, calls = Image.Image.save, []\n"
        "def dying(image, file, *arguments, **options):\n"
        "    calls.append(1)\n"
        "    if len(calls) < 2:\n"
        "        return save(image, file, *arguments, **options)\n"
        "    file.write(b'half of a PNG')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Image.Image.save = dying\n"
        "upscale.main()\n"
    )
    arguments = ["model=m.safetensors", "input=holiday, 2024", "output=larger"]
    assert (
        subprocess.run([sys.executable, "-c", code, *arguments], cwd=place, check=False).returncode
        == -signal.SIGKILL
    )
    done = (place / "larger" / "a.png").stat().st_mtime_ns
    assert not (place / "larger" / "b.png").exists()
    assert run(monkeypatch, "input=holiday, 2024", "output=larger") == 0
    assert (place / "larger" / "a.png").stat().st_mtime_ns == done
    assert read_image(place / "larger" / "b.png").shape == (3, 40, 48)


def test_from_python(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads, failures = torch.get_num_threads(), []
    config = UpscaleConfig("m.safetensors", "holiday, 2024", "larger", threads=threads + 1)
    results = upscale.upscale(config, on_failure=failures.append)
    assert [(one.source.name, one.outcome) for one in results] == [
        ("a.png", Outcome.upscaled),
        ("b.png", Outcome.upscaled),
        ("broken.png", Outcome.failed),
        ("notes.txt", Outcome.unsupported),
    ]
    assert [one.error for one in results] == ["", "", failures[0], ""]
    assert "broken.png cannot be read" in failures[0]
    assert results[0].target.is_file() and not results[2].target.exists()
    assert [one.outcome for one in upscale.upscale(config)] == [
        Outcome.skipped,
        Outcome.skipped,
        Outcome.failed,
        Outcome.unsupported,
    ]
    with pytest.raises(UserError, match="broken.png cannot be read"):
        upscale.upscale(UpscaleConfig("m.safetensors", "holiday, 2024/broken.png", "out.png"))
    assert capsys.readouterr() == ("", "")
    assert torch.get_num_threads() == threads


def test_without_model_and_output(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A photograph is enlarged beside itself, by a model that comes with the package."""
    monkeypatch.setattr(sys, "argv", ["upscale", "input=holiday, 2024/a.png"])
    upscale.main()
    assert "1 upscaled" in (printed := capsys.readouterr().out)
    assert printed.endswith("output: holiday, 2024/a_x2.png\n")
    rgb = read_image(place / "holiday, 2024" / "a.png")
    network = find_model(upscale.DEFAULT_MODEL).network
    expected = super_resolve(network, rgb, ScoringProtocol.standard)
    assert torch.equal(read_image(place / "holiday, 2024" / "a_x2.png"), expected)


@pytest.mark.parametrize("source", ["holiday, 2024", "holiday, 2024/", "{place}/holiday, 2024"])
def test_a_folder_without_output(
    source: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, f"input={source.format(place=place)}", "format=webp") == 2
    assert sorted(stamps(place / "holiday, 2024_x2")) == ["a.webp", "b.webp"]
    assert f"output: {place / 'holiday, 2024_x2'}" in capsys.readouterr().out
    monkeypatch.chdir(place / "holiday, 2024")
    results = upscale.upscale(UpscaleConfig("../m.safetensors", ".", format="webp"))
    assert results[0].outcome is Outcome.skipped  # the same output


@pytest.mark.parametrize(
    ("source", "ending", "expected"),
    [
        ("a.png", None, "a_x3.png"),
        ("b.JPG", None, "b_x3.JPG"),
        ("b.JPG", "PNG", "b_x3.png"),
        ("c.avif", None, "c_x3.png"),  # of a format that is only read
    ],
)
def test_default_output(source: str, ending: str | None, expected: str, tmp_path: Path) -> None:
    (tmp_path / source).touch()
    assert default_output(str(tmp_path / source), 3, ending) == str(tmp_path / expected)


def test_no_default_output(place: Path) -> None:
    for source, match in (
        ("*.png", r"input is the pattern \*.png: give --output"),
        ("x", "no input x"),
    ):
        with pytest.raises(UserError, match=match):
            upscale.upscale(UpscaleConfig(model="bicubic", input=source))
    with pytest.raises(UserError, match="input=- and output=- go together"):
        UpscaleConfig(input="-", size="4x4")


def test_settings() -> None:
    assert UpscaleConfig(model="m", input="i", output="o").memory_limit == 2048
    with pytest.raises(UserError):
        UpscaleConfig(model="m", input="i", output="o", quality=0)


def test_an_image_of_a_large_folder_costs_as_much_as_one_of_a_small_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is loaded once, and the calls of functions grow by the same number per image."""
    loads: list[str] = []

    def find(name: str) -> Model:
        loads.append(name)
        return load_model(Path(name))

    monkeypatch.setattr(model_file, "find_model", find)
    content = noise(place / "small.png", 8, 8).read_bytes()

    def calls(count: int) -> int:
        folder = place / f"{count} images"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:04}.png").write_bytes(content)
        loads.clear()
        config = UpscaleConfig(model="m.safetensors", input=str(folder), output=f"out{count}")
        total = 0

        def count_call(frame: object, event: str, argument: object) -> None:
            nonlocal total
            total += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            done = upscale.upscale(config)
        finally:
            sys.setprofile(None)
        assert len(done) == count
        assert loads == ["m.safetensors"]
        return total

    calls(2)  # the first run imports modules
    few, more, most = calls(5), calls(15), calls(55)
    assert (most - more) / 40 == pytest.approx((more - few) / 10, rel=0.05)


def test_a_named_output_is_always_written(tmp_path: Path) -> None:
    photo, output = tmp_path / "photo.png", tmp_path / "larger.png"
    Image.new("RGB", (6, 5), (200, 30, 90)).save(photo)
    output.write_bytes(b"of an earlier run")
    config = upscale.UpscaleConfig(model="bicubic", input=(str(photo),), output=str(output))
    for _ in range(2):
        assert [image.outcome for image in upscale.upscale(config)] == [upscale.Outcome.upscaled]
    with Image.open(output) as image:
        assert image.size == (12, 10)
