"""The upscale command: images and folders, skipping of existing outputs, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
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
from falsr_nas.photo.jobs import counted_kinds, default_output, find_jobs
from falsr_nas.photo.photograph_file import read_photograph
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
    found = find_jobs([f"{place}/holiday, 2024"], f"{place}/out", "webp")[0]
    names = ["a_jpg.webp", "a_png.webp", "b.webp", "broken.webp"]
    assert [job.target.name for job in found] == names
    found = find_jobs([f"{place}/holiday, 2024"], f"{place}/out", "png")[0]
    assert [job.target.name for job in found][:2] == ["a_jpg.png", "a.png"]
    noise(place / "holiday, 2024" / "a_jpg.png")
    with pytest.raises(UserError, match=r"a\.jpg and a_jpg\.png would both become .*a_jpg\.png"):
        find_jobs([f"{place}/holiday, 2024"], f"{place}/out", "png")
    (place / "holiday, 2024" / "a_jpg.png").unlink()
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
    (place / "photo_x2.png").unlink()
    assert run(monkeypatch, "input=photo.png") == 0
    capsys.readouterr()
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
    network = find_model("falsr-x2-clean-balanced").network
    expected = super_resolve(network, rgb, ScoringProtocol.standard)
    assert torch.equal(read_image(place / "holiday, 2024" / "a_x2.png"), expected)


def test_lossy_files_get_a_model_for_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    expected = {"a.jpg": "photo", "b.png": "clean", "c.webp": "photo", "d.webp": "clean"}
    for name in expected:
        image.save(tmp_path / name, lossless=name.startswith("d"))
    image.save(tmp_path / "e.png", "JPEG")  # the content counts
    done = upscale.upscale(UpscaleConfig(input=(str(tmp_path),), speed="balanced"))
    found = {one.source.name: one.model for one in done}
    kinds = expected | {"e.png": "photo"}
    assert found == {name: f"falsr-x2-{kind}-balanced" for name, kind in kinds.items()}
    for name, kind in kinds.items():
        network = find_model(f"falsr-x2-{kind}-balanced").network
        if name.endswith(".png"):
            result = read_image(tmp_path.with_name(f"{tmp_path.name}_x2") / name)
            larger = super_resolve(network, read_image(tmp_path / name), ScoringProtocol.standard)
            assert torch.equal(result, larger)
    monkeypatch.chdir(tmp_path)
    words = ["upscale", "input=[b.png,c.webp]", "speed=fast", "output=out"]
    monkeypatch.setattr(sys, "argv", words)
    upscale.main()
    printed = capsys.readouterr().out
    assert "model: falsr-x2-clean-fast (1), falsr-x2-photo-fast (1)" in printed


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"scale": 4}, "falsr-x4-photo-balanced does not come with the package: none is for x4"),
        ({"speed": "slow"}, "speed is 'slow': choose one of fast, balanced"),
        ({"model": "bicubic", "speed": "fast"}, "scale and speed choose shipped models only"),
    ],
)
def test_models_that_are_not_shipped(settings: dict, says: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=says):
        upscale.upscale(UpscaleConfig(input=(str(tmp_path / "a.png"),), **settings))


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


def outcomes(source: Path | str, output: Path | str | None, **settings) -> list[str]:
    given = {"model": "bicubic", "input": str(source), "output": output and str(output)}
    config = UpscaleConfig(**given | settings)
    return [str(image.outcome) for image in upscale.upscale(config)]


def test_a_result_is_up_to_date_only_for_the_same_photograph_model_and_settings(
    place: Path,
) -> None:
    folder, output = place / "photos", place / "larger"
    folder.mkdir()
    photo = noise(folder / "a.bmp")

    def again(output: Path = output, **settings) -> list[str]:
        return outcomes(folder, output, **{"format": "jpg"} | settings)

    assert again() == ["upscaled"]
    assert again() == ["skipped"]
    os.utime(photo, None)  # the same content, and newer than the result
    assert again() == ["skipped"]
    for settings in ({"quality": 80}, {"self_ensemble": True}, {"model": "m.safetensors"}):
        assert again(**settings) == ["upscaled"]
        assert again(**settings) == ["skipped"]
    assert again(format="png") == ["upscaled"]
    assert again(format="png", quality=80) == ["skipped"]  # PNG has none
    before = photo.stat()
    noise(photo, seed=1)  # another one, of the same size
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert again() == ["upscaled"]
    (output / "a.jpg").write_bytes((output / "a.jpg").read_bytes() + b"\0")  # edited
    assert again() == ["upscaled"]
    moved = output.rename(place / "moved")
    assert again(moved) == ["skipped"]
    photo.rename(folder / "b.bmp")
    (moved / "a.jpg").rename(moved / "b.jpg")
    assert again(moved) == ["skipped"]


def test_without_a_cache_folder_images_are_upscaled_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "file"))
    (place / "photos").mkdir()
    noise(place / "photos" / "a.png")
    for _ in range(2):
        assert outcomes("photos", "larger") == ["upscaled"]


def test_what_cannot_be_read_is_named(place: Path) -> None:
    folder = place / "photos"
    (folder / "sub").mkdir(parents=True)
    noise(folder / "a.png")
    noise(folder / "sub" / "b.png")
    (folder / "gone.png").symlink_to("/nowhere/gone.png")
    (folder / "README").symlink_to("/nowhere/README")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "linked").symlink_to(folder / "sub")
    (folder / "sub" / "up").symlink_to(folder)
    failures: list[str] = []
    config = UpscaleConfig("bicubic", str(folder), str(place / "larger"), recursive=True)
    found = upscale.upscale(config, on_failure=failures.append)
    assert [(one.source.name, str(one.outcome)) for one in found] == [
        ("a.png", "upscaled"),
        ("gone.png", "failed"),
        ("pipe.jpg", "failed"),
        ("b.png", "upscaled"),  # once
        ("README", "unsupported"),
    ]
    assert "gone.png cannot be read: it is a link to /nowhere/gone.png, which" in failures[0]
    assert "pipe.jpg cannot be read: it is not a regular file" in failures[1]
    assert counted_kinds([folder / "README"]) == "1 link to nowhere"
    with pytest.raises(UserError, match="it is a link to"):
        outcomes(folder / "gone.png", None)
    found = upscale.upscale(UpscaleConfig("bicubic", f"{folder}/*.png", str(place / "x")))
    assert [str(one.outcome) for one in found] == ["upscaled", "failed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_subfolder_that_may_not_be_listed_is_named(place: Path) -> None:
    sub = place / "photos" / "sub"
    sub.mkdir(parents=True)
    noise(place / "photos" / "a.png")
    noise(sub / "b.png")
    sub.chmod(0)
    place.chmod(0o755)
    os.seteuid(65534)
    try:
        if os.access(place / "photos", os.R_OK, effective_ids=True):
            jobs = find_jobs([str(place / "photos")], "/tmp", None, recursive=True)[0]
            assert [job.source.name for job in jobs] == ["a.png", "sub"]
    finally:
        os.seteuid(0)


def test_names_that_are_not_utf8_or_as_long_as_possible(place: Path) -> None:
    folder = place / "photos"
    folder.mkdir()
    noise(folder / "a.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    for letter in "xy":
        noise(folder / "a.png").rename(folder / f"{letter * 251}.png")
    assert outcomes(folder, "larger", format="webp") == ["upscaled"] * 3
    names = [os.fsdecode(b"caf\xe9.webp"), "x" * 250 + ".webp", "y" * 250 + ".webp"]
    assert sorted(stamps(place / "larger")) == names
    assert outcomes(folder / f"{'x' * 251}.png", None) == ["upscaled"]
    assert (folder / f"{'x' * 248}_x2.png").is_file()


def test_outputs_that_are_links_pipes_and_devices(place: Path) -> None:
    photo = noise(place / "p.png")
    assert outcomes(photo, "o.png") == ["upscaled"]
    expected = (place / "o.png").read_bytes()
    (place / "disk").mkdir()
    (place / "link.png").symlink_to("disk/far.png")
    assert outcomes(photo, "link.png") == ["upscaled"]
    assert (place / "link.png").is_symlink()
    assert (place / "disk" / "far.png").read_bytes() == expected
    os.mkfifo(place / "pipe.png")
    with ThreadPoolExecutor() as pool:
        content = pool.submit((place / "pipe.png").read_bytes)
        assert outcomes(photo, "pipe.png") == ["upscaled"]
        assert content.result() == expected
    assert (place / "pipe.png").is_fifo()
    assert (
        outcomes(photo, "/dev/null") == outcomes(photo, "/dev/null", format="jpg") == ["upscaled"]
    )
    with pytest.raises(UserError, match="cannot write /dev/full: No space left"):
        outcomes(photo, "/dev/full")


def test_one_folder_in_the_way_does_not_stop_the_others(place: Path) -> None:
    for name in ("a", "b"):
        (place / "photos" / name).mkdir(parents=True)
        noise(place / "photos" / name / "p.png")
    (place / "larger").mkdir()
    (place / "larger" / "a").touch()
    assert outcomes("photos", "larger", recursive=True) == ["failed", "upscaled"]


@pytest.mark.filterwarnings("error")
def test_a_limit_of_pixels(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = noise(place / "p.png")  # of 480 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice as many
    with pytest.raises(UserError, match=r"24x20 pixels, the limit is 479 .*setting max_pixels"):
        outcomes(photo, "o.png", max_pixels=479)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert outcomes(photo, "o.png", max_pixels=480, preview="page.html") == ["upscaled"]


def test_a_tiff_and_its_thumbnails_are_one_photograph(place: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (12, 16, 3), dtype=np.uint16)
    with tifffile.TiffWriter(place / "p.tif") as file:
        file.write(pixels[::4, ::4], photometric="rgb", subfiletype=1)  # before it
        file.write(pixels, photometric="rgb")
        file.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(np.zeros((12, 16), bool), photometric="minisblack", subfiletype=4)  # its mask
    assert np.array_equal(read_photograph(place / "p.tif").pixels, pixels)
    assert np.array_equal(read_image(place / "p.tif").permute(1, 2, 0), pixels >> 8)
    assert outcomes("p.tif", "o.tif") == ["upscaled"]
    tifffile.imwrite(place / "two.tif", np.stack([pixels, pixels]), photometric="rgb")
    with pytest.raises(UserError, match="more than one image"):
        outcomes("two.tif", "o.tif")


def test_what_is_not_kept_is_printed_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "photos").mkdir()
    for name in "ab":
        image = Image.new("RGB", (8, 6))
        image.save(place / "photos" / f"{name}.jpg", xmp=b"<x/>", comment=b"remark")
    assert run(monkeypatch, "input=photos", "output=larger", "format=bmp") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "no place" in line] == [
        "BMP files have no place for XMP: left out of 2",
        "BMP files have no place for comment: left out of 2",
    ]
