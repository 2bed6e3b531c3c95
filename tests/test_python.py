"""The library as Python code uses it: in scripts, threads and notebooks."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from falsr_nas.archive.store import Store
from falsr_nas.cli.config import config_path
from falsr_nas.controller.settings import HybridSettings, NSGA2Settings
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.execution.settings import InlineSettings, ProcessesSettings
from falsr_nas.objectives.settings import Constraints
from falsr_nas.report.run import read_run
from falsr_nas.search import SearchConfig, search
from falsr_nas.search.config import SCHEMAS as SEARCH_SCHEMAS
from falsr_nas.train import TrainConfig, choose
from falsr_nas.train.config import SCHEMAS as TRAIN_SCHEMAS

SMALL = SearchConfig(
    evaluator=SyntheticSettings(),
    execution=InlineSettings(),
    controller=NSGA2Settings(population_size=8),
    candidates=24,
)


def test_a_search_returns_front_evaluations_and_rows(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = search(replace(SMALL, run_dir=str(tmp_path)))
    assert result.folder == tmp_path
    assert len(result.evaluations) == 24
    assert 0 < result.hypervolume < 1
    rows = result.rows()
    assert {row["key"] for row in rows if row["on_front"]} == {one.key for one in result.front}
    assert [row["psnr"] for row in rows] == [one.score.psnr for one in result.evaluations]
    assert (tmp_path / "report.html").exists()
    assert capfd.readouterr() == ("", ""), "the library prints nothing"
    again = search(replace(SMALL, run_dir=str(tmp_path)))
    assert again == result, "the same call resumes, and has nothing left to do"


def test_the_scale_of_a_search_is_stored_and_can_be_changed(tmp_path: Path) -> None:
    config = replace(SMALL, run_dir=str(tmp_path))
    first = search(config)
    with Store(tmp_path / "search.db") as store:
        assert store.psnr_range == (24.0, 37.0), "the synthetic landscape's"
    narrow = search(replace(config, psnr_range=(26.0, 34.0)))
    assert narrow.evaluations == first.evaluations
    assert narrow.hypervolume != first.hypervolume
    assert search(config).hypervolume == narrow.hypervolume, "null keeps what is stored"
    run = read_run(tmp_path)
    assert run.problem == narrow.problem
    assert run.problem.psnr_range == (26.0, 34.0)
    assert run.problem.worst[1] == pytest.approx(60e9), "the search's limit"
    assert run.problem.hypervolume(narrow.front) == narrow.hypervolume
    for wrong in ((34.0, 26.0), (25.0,), (25.0, 30.0, 35.0)):
        with pytest.raises(UserError, match="psnr_range is"):
            replace(SMALL, psnr_range=wrong)


def test_a_search_can_run_in_another_thread(tmp_path: Path) -> None:
    found = []
    config = replace(
        SMALL,
        execution=ProcessesSettings(workers=1),
        controller=HybridSettings(population_size=8),
        run_dir=str(tmp_path),
    )
    thread = threading.Thread(target=lambda: found.append(search(config)))
    thread.start()
    thread.join()
    assert len(found[0].evaluations) == 24


def test_a_mistake_is_an_exception(tmp_path: Path) -> None:
    config = replace(
        SMALL, constraints=Constraints(max_mult_adds=1e-3), run_dir=str(tmp_path / "run")
    )
    with pytest.raises(UserError, match="constraints.max_mult_adds"):
        search(config)


SCRIPT = """
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.execution.settings import ProcessesSettings
from falsr_nas.search import SearchConfig, search

print("begin", flush=True)
config = SearchConfig(
    evaluator=SyntheticSettings(), execution=ProcessesSettings(workers=2), candidates=8
)
print(len(search(config).evaluations), "evaluations")
"""


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["begin", "8 evaluations"]
    assert done.stderr == ""


def test_training_selects_among_the_feasible_networks_of_the_search(tmp_path: Path) -> None:
    found = search(replace(SMALL, run_dir=str(tmp_path / "free")))
    psnr = sorted(one.score.psnr for one in found.evaluations if one.score)
    limit = psnr[len(psnr) // 2]
    config = replace(SMALL, constraints=Constraints(60.0, limit), run_dir=str(tmp_path / "limited"))
    result = search(config)
    by_key = {one.key: one for one in result.evaluations}
    assert any(one.score.psnr < limit for one in result.evaluations if one.score)
    for way in ("crowding", "knee", "psnr"):
        chosen = choose(TrainConfig(run_dir=config.run_dir, select=way, n=4))
        assert chosen
        for one in chosen:
            assert by_key[one.genome.key].score.psnr >= limit


@pytest.mark.parametrize(
    ("name", "schemas", "config", "apart"),
    [
        ("search", SEARCH_SCHEMAS, SearchConfig(), {"run_dir", "tracking"}),
        ("train", TRAIN_SCHEMAS, TrainConfig(genome="FALSR-B"), {"tracking"}),
    ],
)
def test_the_defaults_are_the_commands(name: str, schemas, config, apart: set[str]) -> None:
    schemas.register(name)
    with initialize_config_dir(config_path(), version_base="1.3"):
        overrides = ["genome=FALSR-B"] if name == "train" else []
        composed = OmegaConf.to_object(compose(name, overrides))
    ours = OmegaConf.to_container(OmegaConf.structured(config))
    theirs = OmegaConf.to_container(OmegaConf.structured(composed))
    assert {k: v for k, v in ours.items() if k not in apart} == {
        k: v for k, v in theirs.items() if k not in apart
    }
    for group in schemas.groups:
        assert type(getattr(config, group)) is type(getattr(composed, group))


@pytest.mark.parametrize(
    ("command", "experiment"), [("search", "x2_paper"), ("train", "x2_paper_train")]
)
def test_the_papers_experiments_validate_on_whole_images(command: str, experiment: str) -> None:
    (SEARCH_SCHEMAS if command == "search" else TRAIN_SCHEMAS).register(command)
    with initialize_config_dir(config_path(), version_base="1.3"):
        config = compose(command, [f"+experiment={experiment}"])
    assert config.data.val_crop == 0
