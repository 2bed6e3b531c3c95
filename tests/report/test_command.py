"""``python -m falsr_nas.report``."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from falsr_nas.archive.store import Store
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.settings import Constraints
from falsr_nas.report.__main__ import ReportConfig, find_searches, read_score, report
from falsr_nas.report.run import Run, read_run, with_distinct_names

SETTINGS = {
    "space.n": 7,
    "space.operators": ["conv", "groupConG2", "groupConG4", "invertBotConE2"],
    "space.channels": [16, 32, 48, 64],
    "space.kernels": [1, 3],
    "space.residuals": [True, False],
    "space.repeats": [1, 2, 4],
    "space.stems": [32],
    "constraints.min_psnr": 23.0,
}


def keep(folder: Path, family: Run) -> Path:
    folder.mkdir(parents=True)
    with Store(folder / "search.db", SETTINGS) as store:
        for evaluation in family.evaluations[:60]:
            store.add(evaluation)
    return folder


def data_of(page: Path) -> dict:
    return dict(json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0]))


def test_a_search_is_read_back(tmp_path: Path, family: Run) -> None:
    run = read_run(keep(tmp_path / "one", family))
    assert run.name == "one"
    assert run.evaluations == [
        replace(evaluation, earlier=()) for evaluation in family.evaluations[:60]
    ]
    constraints = Constraints(min_psnr=23.0)
    assert run.problem == replace(family.problem, constraints=constraints)
    assert run.settings == SETTINGS


def test_one_search_gets_its_page_and_both_figures(tmp_path: Path, family: Run) -> None:
    folder = keep(tmp_path / "one", family)
    files = report(ReportConfig((str(folder),)))
    assert files == tuple(folder / name for name in ("report.html", "figure5.png", "figure6.png"))
    assert all(file.stat().st_size > 10_000 for file in files)
    (run,) = data_of(files[0])["runs"]
    assert (run["name"], len(run["candidates"]["key"])) == ("one", 60)


def test_a_sweep_is_all_searches_in_it(tmp_path: Path, family: Run) -> None:
    for name in ("0", "1"):
        keep(tmp_path / name, family)
    report(
        ReportConfig(
            (str(tmp_path), str(tmp_path / "0")),
            output=str(tmp_path / "all.html"),
            benchmark="B100",
        )
    )
    assert [run["name"] for run in data_of(tmp_path / "all.html")["runs"]] == [
        f"{tmp_path.name}/{job}" for job in "01"
    ]
    assert {path.name for path in tmp_path.glob("figure*")} == {
        "figure5.png",
        "figure6-1.png",
        "figure6-2.png",
    }


def test_searches_of_one_name_are_told_apart(family: Run) -> None:
    runs = [replace(family, name=name) for name in ("0", "1", "0")]
    named = with_distinct_names(runs, [Path("/runs/a/0"), Path("/runs/a/1"), Path("/runs/b/0")])
    assert [run.name for run in named] == ["a/0", "1", "b/0"]
    runs = [replace(family, name="0") for _ in range(2)]
    named = with_distinct_names(runs, [Path("/runs/a/seeds/0"), Path("/runs/b/seeds/0")])
    assert [run.name for run in named] == ["a/seeds/0", "b/seeds/0"]


def test_scores_are_those_of_evaluate(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(
        json.dumps(
            {
                "model": "m",
                "mult_adds": 12_500_000_000,
                "sets": {"Set5": {"psnr": 37.5, "ssim": 0.95}},
            }
        )
    )
    found = read_score(path, "Set5")
    assert found is not None
    assert (found.name, found.mult_adds_g, found.psnr) == ("m", 12.5, 37.5)
    assert read_score(path, "B100") is None
    for mult_adds, psnr, missing in ((None, 37.5, "number of mult-adds"), (1, None, "finite PSNR")):
        content = {"model": "m", "mult_adds": mult_adds, "sets": {"Set5": {"psnr": psnr}}}
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=f"has no {missing}"):
            read_score(path, "Set5")
    path.write_text("[]")
    with pytest.raises(UserError, match=r"scores.json has no scores: give .*falsr_nas.evaluate"):
        read_score(path, "Set5")
    with pytest.raises(UserError, match="cannot read"):
        read_score(tmp_path / "none.json", "Set5")


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no search"):
        find_searches([str(tmp_path)])
    with pytest.raises(UserError, match="run_dirs is empty"):
        find_searches([])
    with pytest.raises(UserError, match="choose one of Set5"):
        ReportConfig(("a",), benchmark="Set6")


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "falsr_nas.report", f"run_dirs=[{tmp_path}]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: {tmp_path} holds no search: give a folder that was run_dir of falsr_nas.search"
    ]
