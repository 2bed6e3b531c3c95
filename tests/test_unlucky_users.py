"""Mistakes and bad luck with the real commands: one line, an exit code of docs/errors.md."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run
from falsr_nas.archive.store import Store
from falsr_nas.data.formats import decoders
from plugin_files import CONTROLLER, EVALUATOR, OPERATOR

SEARCH = (
    "falsr_nas.search",
    "evaluator=synthetic",
    "execution=inline",
    "tracking=none",
    "candidates=16",
    "controller.population_size=8",
)
BRIEF = (
    "falsr_nas.train",
    "genome=stem_f4 conv_f4_k1_b1_noskip | ",
    "training.epochs=2",
    "training.steps_per_epoch=2",
    "training.batch_size=2",
    "training.patch_size=8",
    "trainer.validate_every=1",
    "trainer.accelerator=cpu",
    "tracking=none",
)
HEAVY = {
    "deep learning": {"pytorch_lightning", "torchmetrics", "thop", "torchvision", "onnx"},
    "searching": {"deap", "moocore", "pymoo", "optuna", "wandb", "scipy", "pandas"},
    "drawing": {"matplotlib", "skimage", "imageio"},
    "TensorFlow graphs": {"google.protobuf", "falsr_nas.models.tf_import"},
}


def refused(module: str, *arguments: str, folder: Path) -> str:
    """The one line of a user's mistake."""
    done = run(module, *arguments, folder=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr.removeprefix("error: ").strip()


def succeeds(module: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    done = run(module, *arguments, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def noise(path: Path, size: tuple[int, int] = (20, 24), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def searched(folder: Path, name: str = "run") -> str:
    """The folder of a finished search of 16 candidates."""
    succeeds(*SEARCH, f"run_dir={name}", folder=folder)
    return name


def test_the_home_folder_is_meant_in_every_path(tmp_path: Path) -> None:
    home = tmp_path / "home"
    noise(home / "p.png", (64, 64))
    noise(home / "sets/A/a.png", (64, 64))
    (home / "g.txt").write_text("stem_f4 conv_f4_k1_b1_noskip | ")
    for command in (
        (*SEARCH, "run_dir=~/run"),
        (*SEARCH, "run_dir=~/sweep", "-m", "seed=1,2"),
        (BRIEF[0], *BRIEF[2:], "genome=~/g.txt", "output=~/trained"),
        ("falsr_nas.report", "run_dirs=[~/run,~/sweep]", "output=~/page.html"),
        ("falsr_nas.evaluate", "model=~/trained/best", "data_root=~/sets", "sets=[~/sets/A]",
         "output=~/scores.json", "save_images=~/saved"),
        ("falsr_nas.describe", "genome=~/g.txt"),
        ("falsr_nas.convert", "input=~/trained/best", "output=~/copy.safetensors"),
        ("falsr_nas.upscale", "model=~/copy.safetensors", "input=[~/p.png]", "output=~/out/",
         "preview=~/preview.html"),
    ):  # fmt: skip
        module, *arguments = command
        done = run(module, *arguments, folder=tmp_path, env={**os.environ, "HOME": str(home)})
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "outputs"}  # the links of sweeps
    made = {"run/search.db", "sweep/1/search.db", "page.html", "scores.json", "out/p.png"}
    assert all((home / name).exists() for name in (*made, "saved/A/a_SR.png", "preview.html"))


def shell(line: str, folder: Path, **others: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which ``PY`` is the interpreter."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PY": sys.executable, **others},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=300,
        check=False,
    )


DESCRIBE = "$PY -m falsr_nas.describe genome=FALSR-A"


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("module", ["falsr_nas describe", "falsr_nas.describe"])
def test_closed_streams_are_no_mistake(tmp_path: Path, streams: str, module: str) -> None:
    done = shell(f"$PY -m {module} FALSR-A format=svg {streams}; echo $? > code", tmp_path)
    assert (tmp_path / "code").read_text() == "0\n", done.stderr
    assert ("</svg>" in done.stdout) == (">&-" not in streams.replace("2>&-", ""))


def test_a_search_without_streams_writes_only_its_files(tmp_path: Path) -> None:
    words = " ".join(SEARCH)
    shell(f"$PY -m {words} run_dir=run <&- >&- 2>&-; echo $? > code", tmp_path)
    assert (tmp_path / "code").read_text() == "0\n"
    with Store(tmp_path / "run/search.db") as store:
        assert store.count() == 16
    assert "results:" not in (tmp_path / "run/config.yaml").read_text()


@pytest.mark.parametrize(
    ("stream", "says"), [("> /dev/full", "No space left"), ("1< /dev/null", "Bad file descriptor")]
)
@pytest.mark.parametrize("form", ["table", "json"])
def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, stream: str, says: str, form: str
) -> None:
    done = shell(f"{DESCRIBE} format={form} {stream}", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the output cannot be written: ")
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_and_tables_are_printed_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    name = os.fsdecode("n\u2713".encode() + b"\xff.txt")
    (tmp_path / name).write_text("stem_f4 conv_f4_k1_b1_noskip | ")
    quietly = "from falsr_nas.cli.console import closed_output_ends_quietly as quietly"
    listing = f"import os; {quietly}\nwith quietly(): print(os.listdir()[0])"
    done = shell(f"$PY -m falsr_nas.describe ./*.txt && $PY -c '{listing}'", tmp_path,
                 PYTHONIOENCODING=encoding)  # fmt: skip
    assert done.returncode == 0, done.stderr
    *table, listed = done.stdout.splitlines()
    assert "conv_f4_k1_b1_noskip" in "".join(table)
    shown = name if encoding == "utf-8" else name.encode("ascii", "backslashreplace").decode()
    assert listed == shown


@pytest.mark.parametrize("backend", ["module://not_installed.backend", "nonsense", "TkAgg"])
def test_the_variables_of_a_notebooks_shell_do_not_matter(tmp_path: Path, backend: str) -> None:
    notebook = {"MPLBACKEND": backend, "FORCE_COLOR": "1", "CLICOLOR": "1", "TERM": "xterm-color"}
    done = shell(f"$PY -m {' '.join(SEARCH)} run_dir=run", tmp_path, **notebook)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/report.html").exists() and (tmp_path / "run/pareto.png").exists()


@pytest.mark.skipif(os.system("unshare -U --map-user=54321 true 2> /dev/null"), reason="no unshare")
@pytest.mark.parametrize("killed", [False, True])
def test_folders_that_may_only_be_read_are_read(tmp_path: Path, killed: bool) -> None:
    searched(tmp_path)
    if killed:  # with rows in SQLite's journal
        with sqlite3.connect(tmp_path / "run/search.db") as database:
            database.execute("UPDATE evaluations SET seconds = 7")
            database.commit()
            for name in ("search.db", "search.db-wal"):
                shutil.copy(tmp_path / "run" / name, tmp_path / f"{name}.kept")
        for name in ("search.db", "search.db-wal"):
            (tmp_path / f"{name}.kept").rename(tmp_path / "run" / name)
    (tmp_path / "out").mkdir(mode=0o777)
    (tmp_path / "out").chmod(0o777)
    shutil.copytree(tmp_path / "run", tmp_path / "kept")
    for path in (*tmp_path.glob("run/*"), tmp_path / "run"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = "unshare -U --map-user=54321 --map-group=54321"
    for line in (
        "falsr_nas.report run_dirs=[../run] output=../out/page.html",
        f"{' '.join(BRIEF[:1] + BRIEF[2:])} run_dir=. n=1 output=../out/trained training.epochs=1",
        "falsr_nas.evaluate model=../out/trained/best output=../out/scores.json",
    ):
        done = shell(f"cd run; {user} $PY -m {line}", tmp_path, HOME="/nowhere")
        assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.glob("run/*")) == sorted(
        path.name for path in tmp_path.glob("kept/*")
    )


@pytest.mark.parametrize(
    "setting",
    [
        "constraints.max_mult_adds=nan",
        "constraints.max_mult_adds=inf",
        "constraints.min_psnr=nan",
        "constraints.min_psnr=inf",
        "evaluator.noise=nan",
        "evaluator.seconds=nan",
    ],
)
def test_numbers_are_checked_before_a_search_begins(tmp_path: Path, setting: str) -> None:
    name, _, number = setting.partition("=")
    line = refused(*SEARCH, setting, "run_dir=run", folder=tmp_path)
    assert line == f"{name} is {number}: give a finite number"
    assert not (tmp_path / "run" / "search.db").exists()


def test_numbers_are_checked_before_a_training_begins(tmp_path: Path) -> None:
    line = refused(*BRIEF, "training.learning_rate=inf", folder=tmp_path)
    assert line == "training.learning_rate is inf: give a finite number"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["o.avif", "o.gif", "o.heic"])
def test_an_output_of_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    noise(tmp_path / "a.png")
    line = refused(
        "falsr_nas.upscale", "model=bicubic", "input=a.png", f"output={name}", folder=tmp_path
    )
    assert line.startswith(f"unknown format of {name}: its extension must be one of .png, .jpg,")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def holiday(folder: Path) -> Path:
    """A folder with images of all formats that are read, other files, and a folder."""
    decoders(b"\0\0\0\0ftypheic")  # so that Pillow writes HEIC
    for ending in ("png", "jpg", "avif", "jp2", "tga", "heic", "gif"):
        noise(folder / f"{ending}.{ending}")
    noise(folder / "deep" / "er" / "inside.png")
    noise(folder / ".thumbnails" / "hidden.png")
    (folder / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_every_file_of_a_folder_is_accounted_for(tmp_path: Path) -> None:
    holiday(tmp_path / "holiday")
    command = ("falsr_nas.upscale", "model=bicubic", "input=holiday")
    done = succeeds(*command, "output=larger", folder=tmp_path)
    assert done.stdout.splitlines()[:3] == [
        "6 upscaled, 0 up to date, 0 failed",
        "output: larger",
        "skipped 4: 1 GIF, 1 MP4, 1 TXT, 1 folder",
    ]
    written = {path.name for path in (tmp_path / "larger").iterdir()}
    assert written == {"png.png", "jpg.jpg", "avif.png", "jp2.png", "tga.png", "heic.png"}
    done = succeeds(*command, "output=larger", "recursive=true", folder=tmp_path)
    assert done.stdout.splitlines() == [
        "1 upscaled, 6 up to date, 0 failed",
        "output: larger",
        "skipped 3: 1 GIF, 1 MP4, 1 TXT",
    ]
    with Image.open(tmp_path / "larger" / "deep" / "er" / "inside.png") as image:
        assert image.size == (48, 40)
    line = refused(*command, "output=holiday/larger", "recursive=true", folder=tmp_path)
    assert "among the input images" in line


def test_a_pattern_names_images(tmp_path: Path) -> None:
    holiday(tmp_path / "holiday, 2024")
    command = ("falsr_nas.upscale", "model=bicubic", "output=larger")
    done = succeeds(*command, "input=holiday, 2024/*.jp*", folder=tmp_path)
    assert done.stdout.splitlines() == ["2 upscaled, 0 up to date, 0 failed", "output: larger"]
    assert {path.name for path in (tmp_path / "larger").iterdir()} == {"jpg.jpg", "jp2.png"}
    line = refused(*command, "input=holiday, 2024/*.bmp", folder=tmp_path)
    assert line.startswith("no images in holiday, 2024/*.bmp (looked for .png")
    line = refused(*command, "input=holiday, 2024/*.mp4", folder=tmp_path)
    assert "no images in holiday, 2024/*.mp4, but 1 MP4" in line


def test_an_animation_and_an_empty_file_are_named(tmp_path: Path) -> None:
    noise(tmp_path / "anim.gif")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image at all")
    command = ("falsr_nas.upscale", "model=bicubic", "output=out.png")
    for name, says in (
        ("anim.gif", "GIF is not supported (animation): save a frame of it as PNG"),
        ("empty.png", "the file is empty"),
        ("text.png", "it is not an image, or damaged, or not of a supported format (PNG, "),
    ):
        line = refused(*command, f"input={name}", folder=tmp_path)
        assert line.startswith(f"image {name} cannot be read: {says}")


def test_heic_without_its_library_names_it(tmp_path: Path) -> None:
    decoders(b"\0\0\0\0ftypheic")
    noise(tmp_path / "x.heic")
    command = (
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'pillow_heif' else found(name, *more)"
    )
    (tmp_path / "sitecustomize.py").write_text(command)
    done = run(
        "falsr_nas.upscale", "model=bicubic", "input=x.heic", "output=out.png",
        folder=tmp_path, env=with_path(tmp_path),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "error: image x.heic cannot be read: HEIC needs pillow-heif: pip install 'falsr-nas[heic]'"
    )


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("ran",)


def test_a_training_does_not_open_a_checkpoint_that_could_run_code(tmp_path: Path) -> None:
    succeeds(*BRIEF, "output=out", folder=tmp_path)
    checkpoint = (tmp_path / "out" / "best" / "last.ckpt").resolve()
    (checkpoint.parent / "model.safetensors").unlink()  # as if it were not finished
    whole = checkpoint.read_bytes()
    with zipfile.ZipFile(checkpoint, "w") as archive:
        archive.writestr("last/data.pkl", pickle.dumps(Bomb(), protocol=2))
        archive.writestr("last/version", "3\n")
    for content, says in (
        (checkpoint.read_bytes(), "holds more than weights and plain values, so it is not opened"),
        (whole[: len(whole) // 2], "not a checkpoint, or cut short"),
    ):
        checkpoint.write_bytes(content)
        done = run(*BRIEF, "output=out", folder=tmp_path)
        assert done.returncode == 2, done.stderr
        progress, error = done.stderr.splitlines()
        assert progress.startswith("1 of 1: ")
        assert error.startswith("error: ") and f"last.ckpt: {says}" in error
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("run_dir", ["afile", "afile/x"])
def test_a_file_in_place_of_a_run_folder_is_named(tmp_path: Path, run_dir: str) -> None:
    (tmp_path / "afile").touch()
    says = f"cannot make the folder {run_dir}: afile is a file"
    assert refused(*SEARCH, f"run_dir={run_dir}", folder=tmp_path) == says
    assert refused(*SEARCH, "seed=1,2", f"run_dir={run_dir}", "-m", folder=tmp_path) == says


def with_path(folder: Path) -> dict[str, str]:
    """The environment with a folder in which Python finds ``sitecustomize``."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def signalled_while_importing(
    folder: Path, module: str, number: signal.Signals, *command: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that gets a signal while it imports a module."""
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r} and not os.path.exists('signalled'):\n"
        "            open('signalled', 'w').close()\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = run(*command, folder=folder, env=with_path(folder))
    assert (folder / "signalled").exists(), f"{module} was not imported"
    return done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "module",
    ["omegaconf", "hydra._internal.hydra", "numpy", "falsr_nas.search.loop"],
)
def test_a_signal_while_a_search_starts_stops_it_quietly(
    tmp_path: Path, module: str, number: signal.Signals
) -> None:
    done = signalled_while_importing(tmp_path, module, number, *SEARCH, "run_dir=run")
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines == [] or (len(lines) == 1 and lines[0].startswith("stopped; 0 candidates"))


@pytest.mark.parametrize("module", ["torch", "torch.nn.functional", "PIL.Image"])
def test_a_signal_while_upscale_starts_stops_it_quietly(tmp_path: Path, module: str) -> None:
    noise(tmp_path / "a.png", size=(400, 600))  # a small one is done before the imports are
    command = ("falsr_nas.upscale", "model=bicubic", "input=a.png", "output=o.png")
    done = signalled_while_importing(tmp_path, module, signal.SIGINT, *command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize(
    "command",
    [
        (*SEARCH, "run_dir=run"),
        ("falsr_nas.search", "--help"),
        ("falsr_nas.describe", "genome=FALSR-A"),
        ("falsr_nas.describe", "genome=FALSR-A", "format=json"),
    ],
    ids=["search", "help", "table", "json"],
)
def test_output_that_nobody_reads_ends_a_command_quietly(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    unread, output = os.pipe()
    os.close(unread)
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(output)
    assert done.returncode == 141, done.stderr
    assert "Broken" not in done.stderr and "Traceback" not in done.stderr
    if command[0] == "falsr_nas.search" and "run_dir=run" in command:
        with Store(tmp_path / "run" / "search.db") as store:
            assert store.count() == 16
    shell = f"{sys.executable} -m {' '.join(command)} | head -n 1"
    read = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert read.stdout.count("\n") == 1
    assert "Broken" not in read.stderr and "Traceback" not in read.stderr


def test_the_option_of_a_sweep_may_come_last(tmp_path: Path) -> None:
    succeeds(*SEARCH, "seed=1,2", "run_dir=sweep", "-m", folder=tmp_path)
    succeeds(SEARCH[0], "-m", *SEARCH[1:], "seed=3,4", "run_dir=first", folder=tmp_path)
    succeeds(*SEARCH, "--multirun", "seed=5,6", "run_dir=between", folder=tmp_path)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*/search.db"))
    assert found == [
        f"{name}/{job}/search.db" for name in ("between", "first", "sweep") for job in "01"
    ]


def test_another_option_of_a_group_is_named(tmp_path: Path) -> None:
    run_dir = searched(tmp_path)
    line = refused(*SEARCH, f"run_dir={run_dir}", "controller=random", folder=tmp_path)
    assert line.endswith(
        "run holds a search with other settings: controller is screening there and random here."
        " Give the same settings, or another run_dir"
    )
    line = refused(*SEARCH, f"run_dir={run_dir}", "data=div2k", "seed=2", folder=tmp_path)
    assert "data is photographs there and div2k here; seed is 1 there and 2 here." in line


def test_fewer_candidates_than_stored_are_said(tmp_path: Path) -> None:
    run_dir = searched(tmp_path)
    done = succeeds(*SEARCH, f"run_dir={run_dir}", "candidates=4", folder=tmp_path)
    assert "already holds 16 candidates, more than candidates=4: nothing to do" in done.stderr
    assert "nothing to do" not in succeeds(*SEARCH, f"run_dir={run_dir}", folder=tmp_path).stderr


def test_an_empty_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "search.db").touch()
    done = succeeds(*SEARCH, "run_dir=run", folder=tmp_path)
    assert "search.db was empty: a new search begins in it" in done.stderr
    assert "was empty" not in succeeds(*SEARCH, "run_dir=run", folder=tmp_path).stderr


def test_a_report_tells_folders_apart(tmp_path: Path) -> None:
    succeeds(*SEARCH, "-m", "seed=1,2", "run_dir=sweep", folder=tmp_path)
    (tmp_path / "nothing").mkdir()
    report = "falsr_nas.report"
    assert refused(report, "run_dirs=[nowhere]", folder=tmp_path).startswith(
        "there is no folder nowhere"
    )
    assert refused(report, "run_dirs=[nothing]", folder=tmp_path).startswith(
        "nothing holds no search"
    )
    assert refused(report, "run_dirs=[]", folder=tmp_path).startswith("run_dirs is empty")
    succeeds(report, "run_dirs=sweep", "output=all.html", folder=tmp_path)
    assert (tmp_path / "figure6-2.png").exists(), "one figure for each search"
    line = refused("falsr_nas.train", "run_dir=sweep", folder=tmp_path)
    assert line == "sweep holds a sweep: give one of its searches, sweep/0, sweep/1"


def test_every_output_makes_its_folder(tmp_path: Path) -> None:
    noise(tmp_path / "sets" / "Set5" / "one_HR.png")
    succeeds("falsr_nas.export", "model=bicubic", "output=a/b/m.torchscript", folder=tmp_path)
    succeeds(
        "falsr_nas.evaluate", "model=bicubic", "data_root=sets", "sets=[Set5]",
        "output=c/d/scores.json", "save_images=e/f", folder=tmp_path,
    )  # fmt: skip
    for name in ("a/b/m.torchscript", "c/d/scores.json", "e/f/Set5/one_SR.png"):
        assert (tmp_path / name).stat().st_size > 0
    (tmp_path / "afile").touch()
    line = refused(
        "falsr_nas.export", "model=bicubic", "output=afile/m.torchscript", folder=tmp_path
    )
    assert line == "cannot make the folder afile: afile is a file"


def test_upscale_imports_only_what_it_needs(tmp_path: Path) -> None:
    """Its start is most of the time that a small image takes."""
    noise(tmp_path / "a.png")
    from falsr_nas.models.model_file import save_model
    from falsr_nas.networks.network import Network
    from falsr_nas.space.genome import Genome

    network = Network(Genome.parse("stem_f4 conv_f4_k1_b1_noskip | "))
    save_model(tmp_path / "m.safetensors", network, {})
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "falsr_nas.upscale", "model=m.safetensors",
         "input=a.png", "output=o.png"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"torch", "PIL.Image", "falsr_nas.models.model_file"} <= imported
    assert not imported & set().union(*HEAVY.values())


FOLDER = "--data folder --data.train-dirs empty --data.val-dir empty"
MISTAKES = [
    ("serach demo", "did you mean search?"),
    ("search experiment=demo", "give +experiment=demo"),
    ("search demmo", "did you mean demo?"),
    ("search data.train_dirs=[a]", "add data=folder"),
    ("search --data.train-dirs a", "add data=folder"),
    ("search lr=0.1", "did you mean 'training.learning_rate'?"),
    ("search --lr 0.1", "did you mean --training.learning-rate?"),
    ("search controler=hybrid", "did you mean 'controller'?"),
    ("search controller=hybird", "did you mean hybrid?"),
    ("search --candidates many", "candidates: Value 'many'"),
    ("search --seed -1", "seed is -1: it must be at least 0"),
    ("search data=folder data.train_dirs=no data.val_dir=no", "no such folder of images: no"),
    (f"search {FOLDER}", "no images in empty (looked for"),
    ("search --data div2k --data.root nowhere", "data.root: no DIV2K_train_HR"),
    ("train nowhere", "there is no folder nowhere: give run_dir of a search"),
    ("train empty", "empty holds no search"),
    ("train", "falsr-nas train outputs/demo"),
    (f"train --genome FALSR-A {FOLDER}", "no images in empty (looked for"),
    ("train --genome FALSR-X", "neither a known network (FALSR-A,"),
    ("report nowhere", "there is no folder nowhere: give run_dir of a search"),
    ("report", "run_dirs is required: falsr-nas report RUN_DIR..."),
    ("export falsr-tiny-x2 model.tflite", "models are exported as .onnx, .param"),
    ("export falsr-tiny-x2", "output is required: falsr-nas export MODEL OUTPUT"),
    ("export missing.safetensors m.onnx", "missing.safetensors: No such file"),
    ("evaluate missing.onnx", "missing.onnx: No such file"),
    ("evaluate bicubic nowhere", "no such folder of images: nowhere/Set5"),
    ("convert missing.pb m.safetensors", "missing.pb: No such file"),
    ("describe FALSR-X", "neither a known network (FALSR-A,"),
    ("describe missing.onnx", "missing.onnx: No such file"),
    ("upscale", "input is required: falsr-nas upscale INPUT..."),
    ("upscale missing.jpg", "there is no input missing.jpg"),
    ("upscale empty", "no images in empty (looked for"),
    ("upscale a.png --model missing.onnx", "missing.onnx: No such file"),
    ("upscale a.png --modle x", "did you mean --model?"),
    ("upscale a.png --format gif", "format is gif: it must be one of .png"),
    ("upscale a.png --quality 101", "quality is 101: it must be in 1..100"),
    ("upscale a.png --quality", "give --quality VALUE"),
    ("profile a.json --backend tensorrt", "choose one of onnxruntime, onnxruntime-int8, torch"),
    ("search --plugins missing.py", "plugins: missing.py: No such file"),
    ("search --plugins broken.py", "plug-in broken.py:2: SyntaxError"),
]
"""What is typed after ``falsr-nas``, and a part of the line that says what to do."""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with an image, an empty folder, and a plug-in with a typing error."""
    noise(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.py").write_text("x = 1\ndef broken(:\n")
    return tmp_path


def answer(typed: str, desk: Path) -> str:
    """Run a command; it fails with a traceback where it needs torch, which cannot be imported."""
    (desk / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    done = run("falsr_nas", *typed.split(), folder=desk, env=with_path(desk))
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    return done.stderr


@pytest.mark.parametrize(("typed", "says"), MISTAKES[::3])
def test_a_mistake_is_answered_without_torch(typed: str, says: str, desk: Path) -> None:
    assert says in answer(typed, desk)


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "says"), MISTAKES)
def test_a_mistake_is_answered_within_two_seconds(typed: str, says: str, desk: Path) -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        assert says in answer(typed, desk)
        times.append(time.perf_counter() - began)
    assert min(times) < 2
    left = {path.name for path in desk.iterdir()} - {"outputs", "__pycache__"}
    assert left == {"a.png", "empty", "broken.py", "sitecustomize.py"}


def test_words_without_names_do_what_their_settings_do(tmp_path: Path) -> None:
    """What a shell makes of ``*``, an output folder, and a file named like a setting."""
    noise(tmp_path / "a=b.png")
    noise(tmp_path / "c.png")
    (tmp_path / "notes.txt").write_text("no image")
    names = ("a=b.png", "c.png", "notes.txt")
    command = ("falsr_nas", "upscale", "--model", "bicubic", *names)
    done = succeeds(*command, "-o", "larger/", folder=tmp_path)
    assert done.stdout.splitlines() == [
        "2 upscaled, 0 up to date, 0 failed",
        "output: larger/",
        "skipped 1: 1 TXT",
    ]
    assert {path.name for path in (tmp_path / "larger").iterdir()} == {"a=b.png", "c.png"}
    succeeds("falsr_nas", "upscale", "--model=bicubic", "--", "a=b.png", folder=tmp_path)
    assert (tmp_path / "a=b_x2.png").exists()
    line = refused(*command, "-o", "larger.png", folder=tmp_path)
    assert line.startswith("output is larger.png, but there are several images")


@pytest.mark.parametrize("execution", ["inline", "processes"])
@pytest.mark.parametrize("method", ["__init__", "prepare", "evaluate"])
def test_an_exception_in_an_evaluator_names_its_line(
    tmp_path: Path, method: str, execution: str
) -> None:
    head = re.search(rf"    def {method}\(.*\n", EVALUATOR)[0]
    source = EVALUATOR.replace(head, f"{head}        1 / 0\n")
    line = source.splitlines().index("        1 / 0") + 1
    (tmp_path / "my_scores.py").write_text(source)
    done = run(
        "falsr_nas", "search", "--plugins", "my_scores.py", "--evaluator", "links",
        "--execution", execution, "--tracking", "none", "--candidates", "16", "-o", "run",
        folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert f"plug-in my_scores.py:{line}: ZeroDivisionError: division by zero" in last


def test_an_exception_in_a_controller_names_its_line(tmp_path: Path) -> None:
    head = "    def draw(self):\n"
    source = CONTROLLER.replace(head, f"{head}        {{}}['x']\n")
    line = source.splitlines().index("        {}['x']") + 1
    (tmp_path / "mine.py").write_text(source)
    mine = ("plugins=[mine.py]", "controller=shortest")
    assert refused(*SEARCH, *mine, "run_dir=run", folder=tmp_path) == (
        f"plug-in mine.py:{line}: KeyError: 'x'"
    )


def test_kills_within_generations_of_a_controller_that_draws_anew_lose_nothing(
    tmp_path: Path,
) -> None:
    """Optuna's generators have no state that can be stored: it draws other networks each time."""
    pytest.importorskip("optuna")
    (tmp_path / "my_scores.py").write_text(
        EVALUATOR.replace(
            "        links = sum",
            "        import os, signal\n"
            "        line = f'{candidate.number} {candidate.genome.key}\\n'\n"
            "        with open('evaluated', 'a+') as log:\n"
            "            log.write(line)\n"
            "            log.seek(0)\n"
            "            if sum(1 for _ in log) in (5, 13, 28, 31):\n"
            "                log.flush()\n"
            "                os.kill(os.getpid(), signal.SIGKILL)\n"
            "        links = sum",
        )
    )
    plugin = Path(__file__).parents[1] / "plugins/optuna_sampler.py"
    command = (
        "falsr_nas.search", f"plugins=[{plugin},my_scores.py]", "controller=optuna",
        "evaluator=links", "execution=inline", "tracking=none", "controller.population_size=16",
        "candidates=48", "run_dir=run",
    )  # fmt: skip
    stored: dict[int, str] = {}
    for _ in range(4):
        assert run(*command, folder=tmp_path).returncode == -signal.SIGKILL
        with Store(tmp_path / "run/search.db") as store:
            now = {e.candidate.number: e.key for e in store.evaluations()}
        assert now.items() >= stored.items(), "a stored evaluation was replaced"
        stored = now
    succeeds(*command, folder=tmp_path)
    with Store(tmp_path / "run/search.db") as store:
        rows = {e.candidate.number: e.key for e in store.evaluations()}
    assert len(rows) == 48
    assert rows.items() >= stored.items()
    evaluated = (tmp_path / "evaluated").read_text().splitlines()
    assert len(evaluated) == 48 + 4, "only what a kill interrupted was evaluated again"


def test_a_damaged_training_image_is_named_whatever_its_name(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in ("a.png", "b.png", "val/c.png"):
        noise(images / name, (64, 64))
    odd = os.fsdecode(b"caf\xe9.png")
    (images / odd).write_bytes((images / "a.png").read_bytes()[:200])
    train = (*BRIEF, "data=folder", "data.train_dirs=[images]", "data.val_dir=images/val")
    line = refused(*train, "output=out", folder=tmp_path)
    assert "caf" in line
    done = succeeds(*train, "data.on_error=skip", "output=out", folder=tmp_path)
    assert "caf" in done.stderr


def test_a_run_folder_of_another_is_read_without_running_its_plug_ins(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "mine.py").write_text(f"{OPERATOR}\nopen('{tmp_path}/ran', 'w').close()\n")
    own = ("plugins=[mine.py]", "space.operators=[linear]", "run_dir=run")
    succeeds(*SEARCH, *own, folder=theirs)
    (tmp_path / "ran").unlink()
    for command in (
        ("falsr_nas.train", "run_dir=theirs/run", "select=psnr", "n=1"),
        ("falsr_nas.report", "run_dirs=[theirs/run]", "output=page.html"),
    ):
        line = refused(*command, folder=tmp_path)
        assert "give plugins=[theirs/run/plugins/mine.py]" in line
        assert line.endswith("This runs code from there")
        assert not (tmp_path / "ran").exists()


def test_a_search_deletes_nothing_that_it_did_not_write(tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere"
    kept.mkdir()
    for path in (kept / "a.safetensors", kept / "b.tmp"):
        path.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/weights").symlink_to(kept)
    (tmp_path / "run/c.tmp").write_text("mine")
    searched(tmp_path)
    assert {path.name for path in kept.iterdir()} == {"a.safetensors", "b.tmp"}
    assert (tmp_path / "run/c.tmp").read_text() == "mine"


def test_links_made_in_advance_do_not_redirect_an_output(tmp_path: Path) -> None:
    noise(tmp_path / "a.png")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    pid = int(Path("/proc/loadavg").read_text().split()[-1])  # of the latest process
    for guessed in range(pid, pid + 500):
        (tmp_path / f"out/.o.png.{guessed}.tmp").symlink_to(victim)
    command = ("falsr_nas.upscale", "model=bicubic", "input=[a.png]", "output=out/o.png")
    succeeds(*command, folder=tmp_path)
    assert victim.read_text() == "mine"
    assert not (tmp_path / "out/o.png").is_symlink()


def test_a_damaged_model_of_another_training_is_only_named(tmp_path: Path) -> None:
    other = tmp_path / "out/other/model.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"damaged")
    done = succeeds(*BRIEF, "output=out", folder=tmp_path)
    assert "out/other" in done.stderr
    assert (tmp_path / "out/best/model.safetensors").exists()


def test_checkpoints_do_not_pass_through_the_temporary_folder(tmp_path: Path) -> None:
    for name in ("temporary", "code"):
        (tmp_path / name).mkdir()
    (tmp_path / "code/sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).startswith(TEMPORARY):\n"
        "        with open(LOG, 'a') as log:\n"
        "            print(arguments[0], file=log)\n"
        f"TEMPORARY, LOG = {str(tmp_path / 'temporary')!r}, {str(tmp_path / 'log')!r}\n"
        "sys.addaudithook(hook)\n"
    )
    variables = {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(tmp_path / "code")}
    done = run(*BRIEF, "output=out", folder=tmp_path, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr
    opened = (tmp_path / "log").read_text().splitlines()
    assert len(opened) == 1, "only the file by which Python finds out whether it may write there"


def test_frames_beyond_the_memory_limit_are_refused_before_a_byte_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()  # nothing is ever written
    with os.fdopen(reader), os.fdopen(writer):
        done = run(
            "falsr_nas.upscale", "model=bicubic", "input=[-]", "output=-", "size=40000x40000",
            "memory_limit=2048", folder=tmp_path, stdin=reader,
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "memory_limit" in done.stderr


def test_two_trainings_that_end_at_once_both_succeed(tmp_path: Path) -> None:
    for cells in ("conv_f4_k1_b1_noskip", "conv_f8_k1_b1_noskip"):
        both = [
            subprocess.Popen(
                [sys.executable, "-m", *BRIEF, f"genome=stem_f{stem} {cells} | ", "output=out"],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
            )
            for stem in (4, 8)
        ]
        for process in both:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    assert (tmp_path / "out/best/model.safetensors").exists()
