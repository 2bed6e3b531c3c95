"""Profiles and searches with latency as users run them: real processes, killed for real."""

import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falsr_nas.latency.profile import read_profile
from falsr_nas.report.run import read_run
from falsr_nas.search import SearchConfig, search
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.train import TrainConfig, choose
from made_profile import made_profile

PROFILE = made_profile(SearchSpace())
LIMIT = 220.0  # ms: a fifth of uniform draws are faster
SETTINGS = (
    "evaluator=synthetic",
    "execution=inline",
    "tracking=none",
    "objectives=[psnr,latency]",
    f"constraints.max_latency_ms={LIMIT}",
    "controller.population_size=8",
)


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"falsr_nas.{command}", *arguments],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def measured(latency: float, genome: Genome) -> bool:
    """Whether a latency is the made-up one: up to 35% above the prediction, with noise."""
    ratio = latency / PROFILE.latency(genome)
    return ratio != 1 and 0.95 < ratio < 1.42


def refused(*arguments: str, command: str = "search") -> str:
    done = run(command, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device.json"
    path.write_text(PROFILE.to_json())
    return path


def count(run_dir: Path) -> int:
    if not (run_dir / "search.db").exists():
        return 0
    with sqlite3.connect(run_dir / "search.db") as db:
        try:
            return int(db.execute("SELECT count(*) FROM evaluations").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # killed before the tables were made


@pytest.mark.slow
def test_a_killed_search_ends_with_the_same_front(tmp_path: Path, device: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = (*SETTINGS, f"latency={device}", "candidates=80", "evaluator.seconds=0.02")
    done = run("search", *arguments, f"run_dir={whole}")
    assert done.returncode == 0, done.stderr
    rng = random.Random(1)
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "falsr_nas.search", *arguments, f"run_dir={broken}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        enough = count(broken) + rng.randint(15, 25)
        until = time.monotonic() + 200
        while count(broken) < enough and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 0 < count(broken) < 80
    elsewhere = device.rename(tmp_path / "moved.json")  # its content counts, not its place
    again = [*arguments[:-3], f"latency={elsewhere}", *arguments[-2:], f"run_dir={broken}"]
    done = run("search", *again)
    assert done.returncode == 0, done.stderr
    assert (broken / "pareto.csv").read_bytes() == (whole / "pareto.csv").read_bytes()
    assert "latency" in done.stdout
    with (broken / "pareto.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert measured(float(row["latency"]), Genome.parse(row["genome"]))
        assert float(row["latency"]) <= LIMIT
    assert [float(row["latency"]) for row in rows] == sorted(float(row["latency"]) for row in rows)
    assert [float(row["psnr"]) for row in rows] == sorted(float(row["psnr"]) for row in rows)
    content = json.loads((broken / "pareto.json").read_text())
    assert list(content["reference"]) == ["psnr", "latency"]
    assert content["reference"]["latency"] == LIMIT
    device.write_text(made_profile(SearchSpace(), speed=2).to_json())
    message = refused(*arguments, f"run_dir={broken}")
    assert "holds a search with other settings: latency is " in message
    # The folder alone is enough: the profile is stored in it.
    device.unlink()
    elsewhere.unlink()
    stored = read_run(broken)
    assert stored.problem.hypervolume(stored.evaluations) == content["hypervolume"]
    names = choose(TrainConfig(run_dir=str(broken), select="latency", n=1))
    assert str(names[0].genome) == rows[0]["genome"]
    done = run("report", f"run_dirs=[{broken}]", f"output={tmp_path / 'page.html'}")
    assert done.returncode == 0, done.stderr


REPLAY = """
import sqlite3
from dataclasses import dataclass

from falsr_nas.archive import Score
from falsr_nas.evaluation import EVALUATORS, EvaluatorSettings


class Replay:
    def __init__(self, settings, context):
        self.db = sqlite3.connect(f"file:{settings.store}?mode=ro", uri=True)

    def prepare(self):
        pass

    def evaluate(self, candidate):
        what = "mse, psnr, seconds, steps, latency, latency_spread"
        rows = self.db.execute(f"SELECT {what} FROM evaluations WHERE key = ?", (candidate.key,))
        *quality, latency, spread = rows.fetchone()
        return Score(*quality, latency=latency, latency_spread=spread)


@EVALUATORS.register("replay", Replay)
@dataclass(frozen=True)
class ReplaySettings(EvaluatorSettings):
    store: str = ""
"""


def stored_rows(run_dir: Path) -> dict[int, tuple[object, ...]]:
    """Return what is measured and stored of each candidate by its number."""
    with sqlite3.connect(run_dir / "search.db") as db:
        what = "number, key, generation, mse, psnr, seconds, steps, latency, latency_spread"
        return {row[0]: row for row in db.execute(f"SELECT {what} FROM evaluations")}


@pytest.mark.slow
def test_30_kills_with_measured_latency_change_nothing(tmp_path: Path) -> None:
    """No measurement is replaced, and the search is the one that measures the same at once."""
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    device, broken = tmp_path / "device.json", tmp_path / "broken"
    space = ("space=fast", "space.n=3", "space.channels=[4,8]", "space.stems=[8]")
    small = ("width=96", "height=64", "threads=1", "minutes=0", "networks=5")
    done = run("profile", f"output={device}", *space, *small)
    assert done.returncode == 0, done.stderr
    arguments = (
        *space,
        "objectives=[psnr,latency]",
        f"latency={device}",
        "controller.population_size=16",
        "psnr_range=[5,50]",  # otherwise that of the evaluator, and screening picks by it
        "tracking=none",
        "candidates=96",
    )
    images = (
        "data=folder",
        f"data.train_dirs=[{tmp_path / 'train'}]",
        f"data.val_dir={tmp_path / 'val'}",
        "training.epochs=1",
        "training.steps_per_epoch=2",
        "execution.workers=2",
    )
    seen: dict[int, tuple[object, ...]] = {}
    chance = random.Random(1)
    for _ in range(30):
        process = subprocess.Popen(
            [sys.executable, "-m", "falsr_nas.search", *arguments, *images, f"run_dir={broken}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        enough, until = len(seen) + chance.randint(1, 4), time.monotonic() + 120
        while count(broken) < enough and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(chance.random())
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        rows = stored_rows(broken)
        assert rows == rows | seen
        seen = rows
    assert 30 <= len(seen) < 96
    done = run("search", *arguments, *images, f"run_dir={broken}")
    assert done.returncode == 0, done.stderr
    rows = stored_rows(broken)
    assert len(rows) == 96 and rows == rows | seen
    assert all(row[-1] is not None for row in rows.values())
    plugin = tmp_path / "replay.py"
    plugin.write_text(REPLAY)
    replay = ("evaluator=replay", f"evaluator.store={broken / 'search.db'}", "execution=inline")
    whole = tmp_path / "whole"
    done = run("search", *arguments, *replay, f"plugins=[{plugin}]", f"run_dir={whole}")
    assert done.returncode == 0, done.stderr
    assert stored_rows(whole) == rows
    assert (whole / "pareto.csv").read_bytes() == (broken / "pareto.csv").read_bytes()


def test_results_have_the_chosen_objectives(tmp_path: Path, device: Path) -> None:
    from falsr_nas.controller.settings import NSGA2Settings
    from falsr_nas.evaluation.settings import SyntheticSettings
    from falsr_nas.execution.settings import InlineSettings
    from falsr_nas.objectives.settings import Constraints

    config = SearchConfig(
        controller=NSGA2Settings(population_size=8),
        evaluator=SyntheticSettings(),
        execution=InlineSettings(),
        constraints=Constraints(max_mult_adds=None, max_params=120),
        objectives=("params", "psnr", "latency"),
        latency=str(device),
        candidates=24,
        run_dir=str(tmp_path / "run"),
    )
    assert config.objectives == ("psnr", "params", "latency")
    result = search(config)
    for row in result.rows():
        assert measured(float(str(row["latency"])), Genome.parse(str(row["genome"])))
        assert row["params"] <= 120_000
    assert list(result.front) == sorted(result.front, key=lambda one: one.candidate.cost.params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("latency=none.json",), "cannot read none.json: No such file"),
        (("latency=null",), "give latency=device.json"),
        (("latency=wrong.json",), "wrong.json: not a profile of a device"),
        (("space.scale=3",), "the profile is of networks for x2, space.scale is 3"),
        (("objectives=[latency]",), "psnr must be one of them"),
        (("objectives=[psnr,speed]",), "there is no 'speed': choose of psnr, mult_adds"),
        (("objectives=[]",), "psnr must be one of them"),
        (("constraints.max_latency_ms=0",), "give a positive number of ms"),
        (("constraints.max_latency_ms=0.01",), "is 0.01 ms, but the networks of this space need"),
        (("constraints.max_params=-1",), "give a positive number of K"),
        (("constraints.min_mult_adds=-1",), "give a positive number of G"),
        (("constraints.min_mult_adds=70",), "must not be above max_mult_adds, which is 60 G"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    device: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.json").write_text('{"sets": {}}')
    replaced = [one.partition("=")[0] for one in settings]
    kept = [
        one for one in (*SETTINGS, "latency=device.json") if one.partition("=")[0] not in replaced
    ]
    assert message in refused(*kept, *settings, "candidates=4", "run_dir=run")


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_profile_of_a_small_space_is_measured_and_used(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend)
    path = tmp_path / "new" / "device.json"
    space = ("space.n=2", "space.channels=[4,8]", "space.stems=[8]", "space.repeats=[1]")
    small = ("width=48", "height=32", "threads=1", "minutes=0", "networks=5")
    done = run("profile", f"output={path}", f"backend={backend}", *space, *small)
    assert done.returncode == 0, done.stderr
    profile = read_profile(path)
    assert (profile.backend, profile.threads, profile.width, profile.height) == (backend, 1, 48, 32)
    assert f"{path}: {backend} {profile.versions[backend]} on {profile.cpu}" in done.stdout
    assert ": 5 networks of " in done.stdout
    assert f"median error {profile.error[0]:.1%}" in done.stdout
    done = run(
        "search",
        *SETTINGS[:4],
        *space,
        f"latency={path}",
        "controller=nsga2",
        "controller.population_size=8",
        "candidates=16",
        f"run_dir={tmp_path / 'run'}",
    )
    assert done.returncode == 0, done.stderr
    assert "latency" in (tmp_path / "run/pareto.csv").read_text()


def test_mistakes_of_a_profile_are_one_line(tmp_path: Path) -> None:
    for settings, message in (
        ((), "output is required"),
        (("output=d.json", "backend=tflite"), "choose one of onnxruntime, onnxruntime-int8, torch"),
        (("output=d.json", "width=0"), "width is 0: it must be at least 8"),
        (("output=d.json", "minutes=-1"), "minutes is -1"),
        ((f"output={tmp_path}/file/d.json",), "cannot make the folder"),
    ):
        (tmp_path / "file").touch()
        assert message in refused(*settings, command="profile")
