"""Sweeps of Hydra: numbers for sweepers, exit codes, what is kept of a run, and its report."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import falsr_nas.search.__main__ as command
from commands import run
from falsr_nas.archive.store import Store
from falsr_nas.controller.settings import NSGA2Settings
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.execution.settings import InlineSettings
from falsr_nas.search import SearchConfig, search

SEARCH = (
    "falsr_nas.search",
    "evaluator=synthetic",
    "execution=inline",
    "tracking=none",
    "candidates=8",
    "controller.population_size=4",
)
TRAIN = (
    "falsr_nas.train",
    "genome=stem_f4 conv_f4_k1_b1_noskip | ",
    "training.epochs=2",
    "training.steps_per_epoch=2",
    "training.batch_size=2",
    "training.patch_size=8",
    "data.val_crop=32",
    "trainer.validate_every=1",
    "trainer.accelerator=cpu",
    "tracking=none",
)
SWEEPER = '''
import json
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class Climbing(Sweeper):
    """Tries each value of the first argument, and again the one of the highest number."""

    def setup(self, *, hydra_context, task_function, config):
        self.folder = Path(config.hydra.sweep.dir)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        *fixed, swept = arguments
        key, _, values = swept.partition("=")
        jobs = [[*fixed, f"{key}={value}"] for value in values.split(",")]
        found = [job.return_value for job in self.launcher.launch(jobs, initial_job_idx=0)]
        best = jobs[found.index(max(found))]
        (again,) = self.launcher.launch([best], initial_job_idx=len(jobs))
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "found.json").write_text(json.dumps([*found, again.return_value]))


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="climbing",
    node={"_target_": "hydra_plugins.climbing.Climbing"},
    provider="climbing",
)
'''


def succeeds(module: str, *arguments: str, folder: Path, **environment: str) -> str:
    done = run(module, *arguments, folder=folder, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_sweeper(folder: Path) -> str:
    """Write the sweeper, and return the PYTHONPATH that has it."""
    place = folder / "plugin" / "hydra_plugins"
    place.mkdir(parents=True)
    (place / "climbing.py").write_text(SWEEPER)
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(place.parent))))


def hypervolume(folder: Path) -> float:
    return float(json.loads((folder / "pareto.json").read_text())["hypervolume"])


def names_of(page: Path) -> list[str]:
    text = page.read_text().partition('id="data">')[2].partition("</script>")[0]
    return [run["name"] for run in json.loads(text)["runs"]]


def test_a_sweeper_gets_the_hypervolume_of_each_search(tmp_path: Path) -> None:
    path = with_sweeper(tmp_path)
    climbing = ("-m", "hydra/sweeper=climbing", "run_dir=s", "seed=1,2")
    succeeds(*SEARCH, *climbing, folder=tmp_path, PYTHONPATH=path)
    *found, again = json.loads((tmp_path / "s/found.json").read_text())
    assert found == [pytest.approx(hypervolume(tmp_path / f"s/{job}"), abs=1e-6) for job in "01"]
    assert again == max(found) > min(found) > 0


def test_a_sweeper_gets_the_psnr_of_each_training(tmp_path: Path) -> None:
    path = with_sweeper(tmp_path)
    climbing = ("-m", "hydra/sweeper=climbing", "output=t", "hydra.sweep.dir=s", "seed=1,2")
    succeeds(*TRAIN, *climbing, folder=tmp_path, PYTHONPATH=path)
    *found, again = json.loads((tmp_path / "s/found.json").read_text())
    curves = [next((tmp_path / "t" / job).glob("*/curve.csv")).read_text() for job in "01"]
    last = [float(curve.splitlines()[-1].split(",")[1]) for curve in curves]
    assert found == pytest.approx(last, abs=1e-3)
    assert again == max(found)


LAUNCHERS = {"basic": (), "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_with_a_failed_run_exits_with_2(tmp_path: Path, launcher: str) -> None:
    arguments = (*SEARCH, "-m", *LAUNCHERS[launcher], "run_dir=s")
    search(
        SearchConfig(
            controller=NSGA2Settings(population_size=4),
            evaluator=SyntheticSettings(),
            execution=InlineSettings(),
            candidates=4,
            seed=7,
            run_dir=str(tmp_path / "s/0"),
        )
    )
    done = run(*arguments, "seed=1,2", folder=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    first, *_, last = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "holds a search with other settings" in first
    assert last == f"error: a run of the sweep failed: {first.removeprefix('error: ')}"
    with Store(tmp_path / "s/1/search.db") as store:  # the other run of the sweep
        assert store.count() == 8


def test_a_sweep_by_another_launcher_runs_to_its_end(tmp_path: Path) -> None:
    arguments = (*SEARCH, "-m", *LAUNCHERS["joblib"], "run_dir=s", "seed=1,2")
    succeeds(*arguments, folder=tmp_path)
    assert [hypervolume(tmp_path / f"s/{job}") > 0 for job in "01"] == [True, True]


def test_the_kept_config_runs_again(tmp_path: Path) -> None:
    typed = ("controller=nsga2", "execution/failures=default", "seed=3", "space=tiny")
    lines = succeeds(*SEARCH, *typed, "run_dir=one", folder=tmp_path).splitlines()
    (printed,) = (line for line in lines if line.startswith("again:"))
    kept = (tmp_path / "one/config.yaml").read_text()
    for line in ("controller: nsga2", "execution/failures: default", "space: tiny"):
        assert f"- override {line}\n" in kept
    overrides = OmegaConf.to_object(OmegaConf.load(tmp_path / "one/overrides.yaml"))
    assert {*typed, *SEARCH[1:]} < set(overrides)
    again = printed.removeprefix("again:").split()
    assert f"#   {' '.join(again)}\n" in kept
    assert again[:3] == ["python", "-m", "falsr_nas.search"]
    succeeds(*again[2:], folder=tmp_path)
    assert (tmp_path / "one-again/pareto.csv").read_text() == (
        tmp_path / "one/pareto.csv"
    ).read_text()
    with Store(tmp_path / "one/search.db") as one, Store(tmp_path / "one-again/search.db") as two:
        assert one.config == two.config
    second = (tmp_path / "one-again/config.yaml").read_text()
    assert (
        second.replace("one-again", "one").partition("defaults:")[2]
        == kept.partition("defaults:")[2]
    )


def test_the_config_of_a_search_from_python_runs_again(tmp_path: Path) -> None:
    config = SearchConfig(
        controller=NSGA2Settings(population_size=4),
        evaluator=SyntheticSettings(),
        execution=InlineSettings(),
        candidates=8,
        run_dir=str(tmp_path / "one"),
    )
    search(config)
    where = ("--config-dir", str(tmp_path / "one"), "--config-name", "config")
    succeeds(SEARCH[0], *where, f"run_dir={tmp_path / 'two'}", folder=tmp_path)
    assert (tmp_path / "one/pareto.csv").read_text() == (tmp_path / "two/pareto.csv").read_text()
    assert "override controller: nsga2" in (tmp_path / "two/config.yaml").read_text()


def test_a_sweeps_report_lies_in_its_folder_and_names_its_runs(tmp_path: Path) -> None:
    succeeds(*SEARCH, "-m", "controller=nsga2,random", "run_dir=s", folder=tmp_path)
    written = succeeds("falsr_nas.report", "run_dirs=[s]", folder=tmp_path)
    assert written.splitlines()[0] == "s/report.html"
    assert names_of(tmp_path / "s/report.html") == ["controller=nsga2", "controller=random"]
    assert names_of(tmp_path / "s/0/report.html") == ["s/0"]
    succeeds(*SEARCH, "run_dir=one", folder=tmp_path)
    succeeds("falsr_nas.report", "run_dirs=[one,s]", folder=tmp_path)
    assert names_of(tmp_path / "report.html") == ["one", "controller=nsga2", "controller=random"]
    (tmp_path / "s/0/overrides.yaml").write_text("{")
    done = run("falsr_nas.report", "run_dirs=[s]", folder=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


FAILING = """
from pathlib import Path

from falsr_nas.cli.command import run_command, run_dir
from falsr_nas.core.errors import SearchError
from falsr_nas.search.config import SCHEMAS

def task(config):
    if config.seed == 1:
        raise {error}
    Path(run_dir(), "done").touch()

run_command("search", SCHEMAS, task)
"""


@pytest.mark.parametrize(
    ("launcher", "error", "says"),
    [
        *(
            (one, "OSError(28, 'No space left', 's/0/a')", "OSError: [Errno 28]")
            for one in LAUNCHERS
        ),
        ("basic", "SearchError('no worker')", "error: a run of the sweep failed: no worker"),
    ],
)
def test_a_run_of_a_sweep_that_cannot_continue(
    tmp_path: Path, launcher: str, error: str, says: str
) -> None:
    """It is not taken for a mistake, and the other runs go on to their ends."""
    (tmp_path / "failing.py").write_text(FAILING.format(error=error))
    words = ("-m", *LAUNCHERS[launcher], "run_dir=s", "seed=1,2")
    done = run("failing", *words, folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "s/1/done").exists()
    assert says in done.stderr and "cannot make the folder" not in done.stderr
    assert ("in task" in done.stderr) == ("OSError" in error), "where it was raised"


def test_a_folder_that_cannot_be_made_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    done = run(*SEARCH, "-m", "run_dir=s/t", "seed=1,2", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: cannot make the folder s/t: s is a file"


@pytest.mark.parametrize(
    ("typed", "job", "again"),
    [
        ("demo -m seed=1,2 run_dir=a", "0", "demo -m seed=1,2 run_dir=a"),
        ("demo run_dir=a", None, "demo run_dir=b"),
        ("seed=1 -- demo", None, "seed=1 run_dir=b -- demo"),
    ],
)
def test_the_command_that_continues(
    typed: str, job: str | None, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "/bin/falsr-nas", "search", *typed.split()])
    monkeypatch.setattr(command, "job_of_sweep", lambda: job)
    assert command._resume_command(Path("b")) == f"falsr-nas search {again}"
