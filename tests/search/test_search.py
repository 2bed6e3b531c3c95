"""The search as users run it: real processes, killed for real."""

import csv
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backends import Backend, every_backend
from falsr_nas.archive.store import Store
from falsr_nas.objectives.problem import Problem

SYNTHETIC = ("evaluator=synthetic", "execution=inline", "tracking=none")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "falsr_nas.search", *arguments]


def search(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=300, check=False, **options
    )


def succeeds(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    done = search(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done


def refused(*arguments: str, **options) -> str:
    """The one line that a user's mistake gets."""
    done = search(*arguments, **options)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def rows(run_dir: Path) -> list[tuple]:
    """All evaluations with their times, which no second evaluation would repeat."""
    if not (run_dir / "search.db").exists():
        return []
    with sqlite3.connect(run_dir / "search.db") as db:
        try:
            return db.execute(
                "SELECT number, key, psnr, seconds FROM evaluations ORDER BY number"
            ).fetchall()
        except sqlite3.OperationalError:
            return []  # killed before the tables were made


def scores(run_dir: Path) -> dict[int, tuple]:
    """All evaluations with their times, by number."""
    return {row[0]: row for row in rows(run_dir)}


def paint(folder: Path, count: int, side: int = 64) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((2 * side, 2 * side)).save(folder / f"{i}.png")
    return folder


@every_backend
@pytest.mark.parametrize(
    ("controller", "settings", "rounds"),
    [
        ("screening", (), 4),
        pytest.param("screening", ("space=fast",), 3, id="fast-3", marks=pytest.mark.slow),
        pytest.param("screening", (), 30, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
        pytest.param("hybrid", (), 30, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_a_search_killed_again_and_again_ends_as_one_never_killed(
    tmp_path: Path, backend: Backend, controller: str, settings: tuple[str, ...], rounds: int
) -> None:
    rng, candidates = random.Random(11), 9 * rounds + 20
    arguments = (
        "evaluator=synthetic",
        "evaluator.seconds=0.04",
        f"execution={backend.name}",
        "tracking=none",
        f"candidates={candidates}",
        f"controller={controller}",
        "controller.population_size=8",
        *settings,
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    succeeds(*arguments, f"run_dir={whole}")
    finished: dict[int, tuple] = {}
    killed = 0
    for _ in range(rounds):
        process = subprocess.Popen(
            command(*arguments, f"run_dir={broken}"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 120
        before = len(scores(broken))
        while (
            len(scores(broken)) < before + rng.randint(1, 6)
            and process.poll() is None
            and time.monotonic() < until
        ):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.08))
        process.kill()
        ended = process.wait()
        assert ended in (-signal.SIGKILL, 0)
        killed += ended != 0
        for name, score in scores(broken).items():
            assert finished.setdefault(name, score) == score, (
                "a finished evaluation was repeated or lost"
            )
    assert rounds < len(finished)
    assert killed > 0.6 * rounds, "the kills should land inside the search"
    succeeds(*arguments, f"run_dir={broken}")
    final = scores(broken)
    assert {name: row[:-1] for name, row in final.items()} == {
        name: row[:-1] for name, row in scores(whole).items()
    }
    assert all(final[name] == row for name, row in finished.items())
    assert (broken / "pareto.csv").read_bytes() == (whole / "pareto.csv").read_bytes()


def test_ctrl_c_stops_with_the_command_that_goes_on(tmp_path: Path) -> None:
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        run_dir = tmp_path / stop.name
        arguments = (*SYNTHETIC, "evaluator.seconds=0.05", "candidates=500", f"run_dir={run_dir}")
        process = subprocess.Popen(
            # The tests may run under nohup.
            ["env", "--default-signal=HUP", *command(*arguments)],
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(rows(run_dir)) < 20:
            time.sleep(0.02)
        process.send_signal(stop)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in said
        assert "To continue: python -m falsr_nas.search evaluator=synthetic" in said
        assert (run_dir / "pareto.csv").exists()


def test_a_signal_to_the_whole_group_fails_no_candidate(tmp_path: Path) -> None:
    """As Ctrl-C in a terminal and a cluster's preemption send it: to the workers, too."""
    arguments = (
        "evaluator=synthetic",
        "evaluator.seconds=0.3",
        "execution.workers=2",
        "tracking=none",
        f"run_dir={tmp_path}",
    )
    process = subprocess.Popen(
        command(*arguments), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while len(rows(tmp_path)) < 4:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    with Store(tmp_path / "search.db") as store:
        assert not store.failures()
        assert all(evaluation.score for evaluation in store.evaluations())


def test_a_training_in_the_searchs_own_process_stops_as_well(tmp_path: Path) -> None:
    """Lightning, which handles both signals in its own way, is in between."""
    train, val = paint(tmp_path / "train", 2), paint(tmp_path / "val", 1)
    images = (
        "data=folder",
        f"data.train_dirs=[{train}]",
        f"data.val_dir={val}",
        "data.val_crop=64",
    )
    endless = (
        "training.epochs=100000",
        "training.steps_per_epoch=1",
        "execution=inline",
        "tracking=none",
        f"run_dir={tmp_path / 'run'}",
    )
    process = subprocess.Popen(command(*images, *endless), stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run/config.yaml").exists():
        time.sleep(0.02)
    time.sleep(2)  # most often it trains by now; it must stop in any case
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "To continue: python -m falsr_nas.search" in said


def test_another_process_reads_the_front_while_the_search_writes(tmp_path: Path) -> None:
    arguments = (
        *SYNTHETIC,
        "evaluator.seconds=0.02",
        "candidates=120",
        "controller.population_size=8",
        f"run_dir={tmp_path}",
    )
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not rows(tmp_path):
        time.sleep(0.02)
    fronts = []
    while process.poll() is None:
        with Store(tmp_path / "search.db") as store:
            seen = store.evaluations()
        fronts.append((len(seen), Problem().front(seen)))
    assert process.returncode == 0, process.stderr and process.stderr.read()
    with Store(tmp_path / "search.db") as store:
        whole = store.evaluations()
    assert len({count for count, _ in fronts}) > 3, "it should read while the search writes"
    assert all(front == Problem().front(whole[:count]) for count, front in fronts)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_front_anywhere(tmp_path: Path) -> None:
    small = (
        "+experiment=demo",
        "candidates=6",
        "controller.population_size=4",
        "training.epochs=1",
        "training.steps_per_epoch=3",
    )
    for place in ("a", "b"):
        succeeds(*small, f"run_dir={tmp_path / place}", "seed=1")
    assert (tmp_path / "a/pareto.csv").read_bytes() == (tmp_path / "b/pareto.csv").read_bytes()
    succeeds(*small, f"run_dir={tmp_path / 'c'}", "seed=2", "tracking=none")
    assert (tmp_path / "a/pareto.csv").read_bytes() != (tmp_path / "c/pareto.csv").read_bytes()
    assert list((tmp_path / "a").glob("wandb/offline-run-*/*.wandb"))


def test_the_folder_of_a_search_holds_what_is_promised(tmp_path: Path) -> None:
    done = succeeds(*SYNTHETIC, "candidates=40", f"run_dir={tmp_path}")
    assert {path.name for path in tmp_path.iterdir()} == {
        "search.db", "search.lock", "config.yaml", "overrides.yaml",
        "pareto.csv", "pareto.json", "pareto.png", "report.html",
    }  # fmt: skip
    with (tmp_path / "pareto.csv").open() as file:
        front = list(csv.DictReader(file))
    assert list(front[0]) == [
        "key", "genome", "psnr", "mse", "mult_adds", "params", "generation", "steps",
    ]  # fmt: skip
    assert json.loads((tmp_path / "pareto.json").read_text())["candidates"] == 40
    assert "candidates 40/40" in done.stderr
    assert str(tmp_path) in done.stdout
    assert "max_mult_adds: 60" in (tmp_path / "config.yaml").read_text()
    before = rows(tmp_path)
    succeeds(*SYNTHETIC, "candidates=40", f"run_dir={tmp_path}")
    assert rows(tmp_path) == before


def test_sweeps_search_in_a_folder_each(tmp_path: Path) -> None:
    succeeds("-m", *SYNTHETIC, "candidates=8", "seed=1,2", f"run_dir={tmp_path}")
    first, second = ((tmp_path / job / "pareto.csv").read_text() for job in ("0", "1"))
    assert first != second


def test_folders_of_images_with_a_broken_one(tmp_path: Path) -> None:
    train, val = paint(tmp_path / "train", 3), paint(tmp_path / "val", 2)
    whole = (train / "0.png").read_bytes()
    (train / "0.png").write_bytes(whole[: len(whole) // 2])
    arguments = (
        "data=folder",
        f"data.train_dirs=[{train}]",
        f"data.val_dir={val}",
        "data.val_crop=64",
        "training.epochs=1",
        "training.steps_per_epoch=2",
        "candidates=2",
        "controller.population_size=2",
        "execution=inline",
        "tracking=none",
    )
    assert "0.png" in refused(*arguments, f"run_dir={tmp_path / 'run'}")
    assert not (tmp_path / "run/search.db").exists(), "a mistake must not fix the folder's settings"
    done = succeeds(*arguments, "data.on_error=skip", f"run_dir={tmp_path / 'run'}")
    assert "0.png" in done.stderr


def test_the_experiments_run(tmp_path: Path) -> None:
    """Each with its own settings but for the length; `demo` runs in the test of seeds."""
    short = (
        "candidates=2",
        "controller.population_size=2",
        "training.epochs=1",
        "training.steps_per_epoch=1",
        "data.val_crop=64",
    )
    brief = (*short, "execution=inline", "tracking=none")
    train, val = paint(tmp_path / "train", 2), paint(tmp_path / "val", 1, side=65)
    folders = (f"data.train_dirs=[{train}]", f"data.val_dir={val}")
    succeeds("+experiment=x2_291", *folders, *brief, f"run_dir={tmp_path / 'x2_291'}")
    for name, limit in (("x2_tiny", 6.0), ("x2_nano", 3.1)):
        succeeds(f"+experiment={name}", *folders, *brief, f"run_dir={tmp_path / name}")
        with Store(tmp_path / name / "search.db") as store:
            assert store.config["constraints.max_mult_adds"] == limit
            assert store.config["space.stems"] == [8, 12, 16, 24, 32]
            assert all(e.candidate.cost.mult_adds <= limit * 1e9 for e in store.evaluations())
    div2k = tmp_path / "DIV2K"
    for name, first in (("train", 1), ("valid", 801)):
        folder = paint(div2k / f"DIV2K_{name}_HR", 2, side=66)
        for i in range(2):
            (folder / f"{i}.png").rename(folder / f"{first + i:04}.png")
    succeeds(
        "+experiment=x2_paper", f"data.root={div2k}", *brief, f"run_dir={tmp_path / 'x2_paper'}"
    )
    assert "target: image" in (tmp_path / "x2_paper/config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sed=3"], "no setting 'sed': did you mean 'seed'?"),
        (["trainig.epochs=3"], "no setting 'trainig': did you mean 'training'?"),
        (["controller.exploration.p_flop=0.3"], "did you mean 'controller.exploration.p_flops'?"),
        (["+populaton=3"], "did you mean 'controller.population_size'?"),
        (["data=fodler"], "no 'data/fodler': did you mean folder?"),
        (["controller=1"], "has a value of another kind: Config group override must be a string"),
        (["training=inf"], "has a value of another kind: Config group override must be a string"),
        (["evaluator=[1]"], "has a value of another kind: "),
        (["training.epochs=many"], "training.epochs"),
        (["training.target=residul"], "training.target"),
        (["space.n=0"], "space.n is 0"),
        (["space.stems=[30]"], "30 channels cannot be shuffled"),
        (["space.upsamplers=[nearest]"], "unknown upsampler 'nearest'"),
        (["space.channels=[18]"], "4 groups do not divide 18"),
        (["space.kernels=[]"], "space.kernels is empty"),
        (["constraints.max_mult_adds=0.01"], "the lightest network of this space needs"),
        (["candidates=0"], "candidates is 0"),
        (["data=folder"], "data.train_dirs is empty"),
        (
            [
                "data=folder",
                "data.train_dirs=[nowhere]",
                "data.val_dir=nowhere",
                "evaluator=incomplete",
            ],
            "nowhere",
        ),
        (["+experiment=x2_paper", "data.root=nowhere", "evaluator=incomplete"], "DIV2K_train_HR"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    assert says in refused(*SYNTHETIC, *arguments, f"run_dir={tmp_path}")


ODD = """
from dataclasses import dataclass
from falsr_nas.archive import Score
from falsr_nas.evaluation import EVALUATORS, EvaluatorSettings


class Odd:
    def __init__(self, settings, context):
        pass

    def prepare(self):
        pass

    def evaluate(self, candidate):
        match candidate.number:
            case 1:
                raise SystemExit(3)
            case 3:
                raise ValueError("odd \\udcff name")
            case 5:
                raise ValueError("y" * 10_000_000)
            case 7:
                return Score(mse="a", psnr=30.0, seconds=0.1)
            case 9:
                return Score(mse=1e-40, psnr=1e30, seconds=0.1)
            case 11:
                raise GeneratorExit
            case 13:
                raise ValueError("no image in [/data/train] [bold")
        return Score(mse=10.0, psnr=30.0, seconds=0.1)


@EVALUATORS.register("odd", Odd)
@dataclass(frozen=True)
class OddSettings(EvaluatorSettings):
    pass
"""


@pytest.mark.parametrize("execution", ["inline", "processes"])
def test_whatever_an_evaluator_raises_is_a_failure(tmp_path: Path, execution: str) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    run_dir = tmp_path / "run"
    done = succeeds(
        f"plugins=[{tmp_path / 'odd.py'}]",
        "evaluator=odd",
        f"execution={execution}",
        "tracking=none",
        "controller.population_size=16",
        "candidates=16",
        f"run_dir={run_dir}",
    )
    assert "[/data/train] [bold" in " ".join(done.stdout.split())
    with Store(run_dir / "search.db") as store:
        failed = {failure.number: failure.failure for failure in store.failures()}
        assert len(store.evaluations()) == 16
    assert {1, 3, 5, 7, 11, 13} <= failed.keys()
    assert r"odd \udcff name" in failed[3].message
    assert all(len(failure.message) <= 1_000 for failure in failed.values())


def test_other_settings_on_the_same_folder_are_refused_by_name(tmp_path: Path) -> None:
    succeeds(*SYNTHETIC, "candidates=8", f"run_dir={tmp_path}")
    before = rows(tmp_path)
    said = refused(
        *SYNTHETIC, "candidates=8", "seed=2", "controller.p_crossover=0.5", f"run_dir={tmp_path}"
    )
    assert "controller.p_crossover is 0.8 there and 0.5 here; seed is 1 there and 2 here" in said
    assert rows(tmp_path) == before
    succeeds(*SYNTHETIC, "candidates=20", f"run_dir={tmp_path}")
    assert rows(tmp_path)[:8] == before


def test_a_search_in_another_format_is_refused(tmp_path: Path) -> None:
    arguments = (*SYNTHETIC, "candidates=4", f"run_dir={tmp_path}")
    succeeds(*arguments)
    with sqlite3.connect(tmp_path / "search.db") as db:
        db.execute("UPDATE about SET value = '2' WHERE name = 'version'")
    assert "made by another version of falsr_nas (format 2" in refused(*arguments)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    arguments = (*SYNTHETIC, f"run_dir={tmp_path}", "candidates=1000", "evaluator.seconds=0.05")
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not rows(tmp_path):
            time.sleep(0.02)
        assert f"in use by process {process.pid}" in refused(*arguments)
    finally:
        process.kill()
        process.wait()


def stuck(
    arguments: tuple[str, ...], limit: int | None = None
) -> tuple[subprocess.Popen[str], str]:
    """A search that has said that it waits for room, and the line."""
    limited = (
        {
            "preexec_fn": lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
            )
        }
        if limit
        else {}
    )
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True, **limited)
    assert process.stderr is not None
    for line in process.stderr:
        if "waits until there is space" in line:
            return process, line
    pytest.fail(f"it ended with {process.wait()} and did not wait")


def test_on_a_full_disk_the_search_waits_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs root, to mount a small disk")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    ).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        process, line = stuck((*SYNTHETIC, "candidates=600", f"run_dir={disk}"))
        assert "the disk is full" in line
        before = rows(disk)
        assert before
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert rows(disk)[: len(before)] == before
        assert len(rows(disk)) == 600
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


def test_so_it_does_when_its_share_of_the_disk_is_used_up(tmp_path: Path) -> None:
    """A search waits while it cannot write, continues when it can, and can be stopped meanwhile."""
    arguments = (*SYNTHETIC, "candidates=300")
    process, _ = stuck((*arguments, f"run_dir={tmp_path / 'lifted'}"), limit=200_000)
    resource.prlimit(
        process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    succeeds(*arguments, f"run_dir={tmp_path / 'whole'}")
    assert (tmp_path / "lifted/pareto.csv").read_bytes() == (
        tmp_path / "whole/pareto.csv"
    ).read_bytes()

    process, _ = stuck((*arguments, f"run_dir={tmp_path / 'stopped'}"), limit=200_000)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "To continue:" in said
    stopped, whole = rows(tmp_path / "stopped"), rows(tmp_path / "whole")
    assert 0 < len(stopped) < 300
    assert [row[:3] for row in stopped] == [row[:3] for row in whole[: len(stopped)]]


def test_unreachable_quality_is_said(tmp_path: Path) -> None:
    done = succeeds(*SYNTHETIC, "candidates=8", "constraints.min_psnr=99", f"run_dir={tmp_path}")
    assert "no candidate has a score of at least 99 dB" in done.stderr


def test_a_paper_sized_search_costs_little_beside_its_trainings(tmp_path: Path) -> None:
    arguments = (
        *SYNTHETIC,
        "candidates=10000",
        "controller=nsga2",
        "controller.population_size=64",
        "constraints.max_mult_adds=250",
        f"run_dir={tmp_path}",
    )
    succeeds(*arguments)
    assert len(rows(tmp_path)) == 10_000
