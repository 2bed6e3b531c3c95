"""benchmarks/gpu.sh: what happens to steps that fail, and that its records are whole."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ABOUT = {"tiny": True}


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module("gpu")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def code(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def summary(output: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((output / "summary.json").read_text(), parse_constant=refuse)


def test_a_step_that_fails_is_reported_and_the_next_one_runs(
    gpu: ModuleType, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [
        gpu.Step("first", 60, lambda _: code("print('a line'); print('{\"a\": 1, \"b\": NaN}')")),
        gpu.Step("broken", 60, lambda _: code("print('{\"a\": 2}'); raise SystemExit('no luck')")),
        gpu.Step("silent", 60, lambda _: code("print('no JSON')")),
        gpu.Step("slow", 0.5, lambda _: code("import time; time.sleep(60)")),
        gpu.Step("last", 60, lambda seconds: code(f"print('{{\"seconds\": {seconds}}}')")),
    ]
    gpu.run_steps(steps, output, 600.0, ABOUT)
    found = summary(output)["steps"]
    assert {name: step["status"] for name, step in found.items()} == {
        "first": "done",
        "broken": "failed",
        "silent": "failed",
        "slow": "failed",
        "last": "done",
    }
    assert found["first"]["result"] == {"a": 1, "b": None}
    assert found["broken"]["result"] == {"a": 2}
    assert found["broken"]["reason"] == "ended with exit code 1"
    assert found["silent"]["reason"] == "printed no JSON"
    assert found["slow"]["reason"].startswith("took longer than")
    assert found["last"]["result"] == {"seconds": 60}
    said = capsys.readouterr().out
    assert "broken: failed, ended with exit code 1" in said
    assert "no luck" in said
    for step in steps:
        assert json.loads((output / f"{step.name}.json").read_text()) == found[step.name]


def test_a_step_that_takes_too_long_is_ended_with_its_processes(
    gpu: ModuleType, output: Path
) -> None:
    step = gpu.Step("slow", 1, lambda _: ["bash", "-c", "sleep 600 & echo $!; wait"])
    gpu.run_steps([step], output, 600.0, ABOUT)
    (pid,) = (output / "slow.log").read_text().split()
    deadline = time.monotonic() + 30
    while running(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_steps_without_time_are_skipped(gpu: ModuleType, output: Path) -> None:
    step = gpu.Step("late", 60, lambda _: code("print('{}')"))
    records = gpu.run_steps([step], output, gpu.LEAST_SECONDS / 2, ABOUT)
    assert records == {"late": {"status": "skipped", "reason": "no time was left"}}
    assert summary(output)["steps"] == records
    assert not (output / "late.json").exists(), "the next run must run it"


def test_only_what_is_not_done_runs_again(gpu: ModuleType, output: Path, tmp_path: Path) -> None:
    def counting(name: str, printed: str) -> object:
        text = f"open({str(tmp_path / name)!r}, 'a').write('.'); print('{printed}')"
        return gpu.Step(name, 60, lambda _: code(text))

    def runs() -> list[int]:
        return [len((tmp_path / step.name).read_text()) for step in steps]

    steps = [
        counting("done", "{}"),
        counting("unfinished", '{"finished": false}'),
        counting("failed", "nothing"),
    ]
    records = gpu.run_steps(steps, output, 600.0, ABOUT)
    assert records["unfinished"]["status"] == "to be continued"
    assert runs() == [1, 1, 1]
    gpu.run_steps(steps, output, 600.0, ABOUT)
    assert runs() == [1, 2, 2]
    gpu.run_steps(steps[:1], output, 600.0, ABOUT, again=True)
    assert runs() == [2, 2, 2]
    assert set(summary(output)["steps"]) == {"done", "unfinished", "failed"}, "other runs' too"


def test_the_papers_search_is_estimated_from_measured_candidates(gpu: ModuleType) -> None:
    candidates = {
        "candidates": 9,
        "steps": 1000,
        "seconds": {"steps": 0.6, "batches": 0.1, "validation": 0.05},
        "seconds_with_whole_validation": 0.9,
    }  # 0.2 s beside the steps, and 10 times 0.7 s
    steps = {"candidates": {"status": "done", "result": candidates}}
    assert gpu.x2_paper_estimate({}) is None
    assert gpu.x2_paper_estimate(steps)["hours"] == pytest.approx(20)
    side_by_side = {"1": 100.0, "2": 180.0, "4": 250.0, "8": 240.0}
    steps["workers"] = {"status": "done", "result": {"side_by_side": side_by_side}}
    estimate = gpu.x2_paper_estimate(steps)
    assert estimate["hours"] == pytest.approx(8)
    assert (estimate["workers_per_device"], estimate["mps"]) == (4, False)
    steps["workers"]["result"]["side_by_side_mps"] = {"1": 90.0, "4": 500.0}
    estimate = gpu.x2_paper_estimate(steps)
    assert estimate["hours"] == pytest.approx(4)
    assert (estimate["workers_per_device"], estimate["mps"]) == (4, True)


def test_tiny_steps_are_the_steps(gpu: ModuleType, output: Path) -> None:
    steps, tiny = gpu.steps_of(output, None), gpu.tiny_steps_of(output)
    assert [step.name for step in steps] == [step.name for step in tiny]
    for whole, small in zip(steps, tiny, strict=True):
        script = whole.command(100.0)[1]
        assert Path(script).exists()
        assert small.command(100.0)[1] == script


def gpu_sh(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(BENCHMARKS / "gpu.sh"), "--python", sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_the_script_runs_chosen_steps(output: Path) -> None:
    done = gpu_sh(
        *("--tiny", "--output", str(output), "--steps", "tests,memory", "--limit", "memory=0.1")
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed: memory" in done.stdout
    found = summary(output)
    assert found["about"]["torch"]
    assert found["steps"]["tests"]["status"] == "done"
    assert found["steps"]["tests"]["result"]["tests"]["passed"] > 0
    assert found["steps"]["memory"]["status"] == "failed"
    refused = gpu_sh("--output", str(output))
    assert refused.returncode == 2
    assert "holds results of --tiny" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "tests,graph"), "there is no step 'graph'"),
        (("--limit", "tests"), "--limit tests: give STEP=SECONDS"),
        (("--data", "nowhere"), "there is no such folder"),
        (("--wheels", "nowhere"), "there are no wheels in it"),
    ],
)
def test_mistakes_get_one_line(output: Path, arguments: tuple[str, ...], message: str) -> None:
    done = gpu_sh("--output", str(output), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
