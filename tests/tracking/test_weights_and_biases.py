from __future__ import annotations

import json
import logging
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.core.errors import UserError
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import summarise
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.tracking.tracker import Tracker
from falsr_nas.tracking.trackers import open_tracker, open_training_tracker

SPACE = SearchSpace(n=3)
PROBLEM = Problem(SPACE)
OFFLINE = TrackingSettings(mode="offline", project="p", group="g", tags=("t",))


def evaluations(count: int) -> list[Evaluation]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        genome, psnr = SPACE.sample(rng), float(rng.uniform(24, 30))
        outcome = (
            Failure(FailureKind.TIMEOUT, "slow")
            if number == 3
            else Score(255**2 / 10 ** (psnr / 10), psnr, 1.0)
        )
        made.append(
            Evaluation(
                Candidate(
                    genome,
                    genome_cost(genome),
                    Origin(("crossover", "random")),
                    number // 4,
                    number,
                ),
                outcome,
            )
        )
    return made


@pytest.fixture(autouse=True)
def _isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give W&B temporary folders, and no API key unless the test sets one."""
    for name in (
        "WANDB_API_KEY",
        "WANDB_IDENTITY_TOKEN_FILE",
        "WANDB_BASE_URL",
        "WANDB_MODE",
        "WANDB_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def records(path: Path) -> list[Any]:
    """Return the records of a ``.wandb`` file; wait until W&B's service has completed it."""
    for _ in range(200):
        found = list(written(path))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"the run in {path} has no end")


def written(path: Path) -> Iterator[Any]:
    """Yield the records of a ``.wandb`` file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, message = path.read_bytes(), 7, b""
    assert b":W&B".startswith(data[:4])
    while position + 7 <= len(data):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        checksum, length, kind = struct.unpack("<IHB", data[position : position + 7])
        part = data[position + 7 : position + 7 + length]
        if len(part) < length:
            return
        assert zlib.crc32(bytes([kind]) + part) == checksum
        position += 7 + length
        message += part
        if kind in (1, 4):  # whole, or last part
            record = Record()
            record.ParseFromString(message)
            message = b""
            yield record


def history(path: Path) -> list[dict[str, Any]]:
    found = [
        record.history.item
        for record in records(path)
        if record.WhichOneof("record_type") == "history"
    ]
    return [
        {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
        for items in found
    ]


def run_files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "wandb").glob("offline-run-*/*.wandb"))


def track(run_dir: Path, known: list[Evaluation], first: int = 0) -> None:
    with open_tracker(OFFLINE, run_dir, {"seed": 1, "space": {"n": 3}}) as tracker:
        for generation in range(first, known[-1].candidate.generation + 1):
            tracker.generation(
                summarise([e for e in known if e.candidate.generation <= generation], PROBLEM),
                120.0 if generation else None,
            )
        tracker.finish(known, PROBLEM)


def test_an_offline_run_contains_metrics_tables_and_plots(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    known = evaluations(12)
    track(tmp_path, known)
    assert capfd.readouterr() == ("", "")
    (file,) = run_files(tmp_path)
    run = next(record.run for record in records(file) if record.WhichOneof("record_type") == "run")
    assert (run.project, run.run_group, list(run.tags)) == ("p", "g", ["t"])
    assert {item.key: json.loads(item.value_json) for item in run.config.update}["space"] == {
        "n": 3
    }

    rows = history(file)
    assert [row["_step"] for row in rows] == [0, 1, 2]
    for generation, row in enumerate(rows):
        expected = summarise(known[: 4 * generation + 4], PROBLEM)
        assert (row["generation"], row["candidates"], row["failures"], row["front_size"]) == (
            generation,
            4 * generation + 4,
            1,
            expected.front_size,
        )
        assert (row["hypervolume"], row["best_psnr"]) == pytest.approx(
            (expected.hypervolume, expected.best_psnr)
        )
    assert "candidates_per_hour" not in rows[0]
    assert rows[1]["candidates_per_hour"] == 120.0

    last = rows[-1]
    table = json.loads((file.parent / "files" / last["all_candidates.path"]).read_text())
    assert table["columns"] == [
        "key",
        "genome",
        "psnr",
        "mse",
        "mult_adds",
        "params",
        "generation",
        "operators",
    ]
    assert [row[0] for row in table["data"]] == [e.key for e in known]
    assert table["data"][3][2:4] == [None, None]
    assert table["data"][0][7] == "crossover random"
    rows_of_front = [
        [e.key, str(e.candidate.genome), e.score.psnr] for e in PROBLEM.front(known) if e.score
    ]
    for name in ("front", "front_mult_adds_table", "front_params_table"):
        front = json.loads((file.parent / "files" / last[f"{name}.path"]).read_text())
        assert front["columns"] == table["columns"]
        assert [row[:3] for row in front["data"]] == rows_of_front
    configs = [
        item
        for r in records(file)
        if r.WhichOneof("record_type") == "config"
        for item in r.config.update
    ]
    for objective in ("mult_adds", "params"):
        (plot,) = [
            json.loads(item.value_json)
            for item in configs
            if f"front_{objective}" in item.nested_key
        ]
        assert "scatter" in plot["panel_config"]["panelDefId"]
        assert plot["panel_config"]["fieldSettings"] == {"x": objective, "y": "psnr"}


def test_runs_have_names_groups_and_job_types(tmp_path: Path) -> None:
    unnamed = TrackingSettings(mode="offline")
    demo, job, trained = tmp_path / "demo", tmp_path / "seeds/0", tmp_path / "trained/1f3a"
    for folder in (demo, job, trained):
        folder.mkdir(parents=True)
    for tracker in (
        open_tracker(unnamed, demo, {}),
        open_tracker(unnamed, job, {}),
        open_training_tracker(unnamed, trained, {}, job),
    ):
        with tracker:
            pass
    found = []
    for folder in (demo, job, trained):
        (file,) = run_files(folder)
        (run,) = [r.run for r in records(file) if r.WhichOneof("record_type") == "run"]
        found.append((run.display_name, run.run_group, run.job_type))
    assert found == [
        ("demo", "demo", "search"),
        ("seeds/0", "seeds", "search"),
        ("1f3a", "seeds", "train"),
    ]


def test_a_trained_model_is_an_artifact_of_its_run(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    with open_training_tracker(OFFLINE, tmp_path, {}) as tracker:
        images = np.arange(96 * 288, dtype=np.uint8).reshape(96, 288)
        tracker.validated({"psnr": 28.5, "loss": 0.01, "learning_rate": 1e-3}, 10, images)
        tracker.trained(model, "deep-one", {"genome": "stem_f32", "psnr": 28.5})
    (file,) = run_files(tmp_path)
    (row,) = history(file)
    assert (row["_step"], row["psnr"], row["loss"], row["learning_rate"]) == (10, 28.5, 0.01, 1e-3)
    with Image.open(file.parent / "files" / row["validation.path"]) as shown:
        assert (np.asarray(shown.convert("L")) == images).all()
    (artifact,) = [
        record.artifact
        for record in records(file)
        if record.WhichOneof("record_type") == "artifact"
    ]
    assert (artifact.name, artifact.type) == ("deep-one", "model")
    assert json.loads(artifact.metadata) == {"genome": "stem_f32", "psnr": 28.5}
    assert [entry.path for entry in artifact.manifest.contents] == ["model.safetensors"]


def test_a_resumed_search_continues_its_run(tmp_path: Path) -> None:
    track(tmp_path, evaluations(8))
    time.sleep(1.1)  # W&B names a run's folder by the second of its start
    track(tmp_path, evaluations(12), first=2)
    ids = {
        record.run.run_id
        for file in run_files(tmp_path)
        for record in records(file)
        if record.WhichOneof("record_type") == "run"
    }
    assert ids == {(tmp_path / "wandb" / "run-id").read_text()}
    steps = [row["_step"] for file in run_files(tmp_path) for row in history(file)]
    assert sorted(set(steps)) == [0, 1, 2]


def test_two_searches_are_two_runs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        track(tmp_path / name, evaluations(8))
    assert (tmp_path / "a/wandb/run-id").read_text() != (tmp_path / "b/wandb/run-id").read_text()
    assert [len(run_files(tmp_path / name)) for name in "ab"] == [1, 1]


def test_long_tables_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falsr_nas.tracking.weights_and_biases._TABLE_ROWS", 5)
    track(tmp_path, evaluations(12))
    (file,) = run_files(tmp_path)
    rows = history(file)[-1]
    assert [
        rows[f"{name}.nrows"] for name in ("all_candidates", "all_candidates_2", "all_candidates_3")
    ] == [5, 5, 2]


def test_a_run_is_finished_as_failed_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_tracker(OFFLINE, tmp_path, {}):
        raise KeyboardInterrupt
    (file,) = run_files(tmp_path)
    assert [
        record.exit.exit_code
        for record in records(file)
        if record.WhichOneof("record_type") == "exit"
    ] == [1]


def test_no_tracking_writes_nothing(tmp_path: Path) -> None:
    with open_tracker(TrackingSettings(mode="none"), tmp_path, {}) as tracker:
        assert type(tracker) is Tracker
        tracker.generation(summarise(evaluations(4), PROBLEM), 1.0)
        tracker.finish(evaluations(4), PROBLEM)
    assert not list(tmp_path.iterdir())


def test_online_without_a_key_is_rejected_immediately(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set WANDB_API_KEY or tracking=offline"):
        open_tracker(TrackingSettings(mode="online"), tmp_path, {})
    (tmp_path / "netrc").write_text("machine example.org login user password 1\n")
    with pytest.raises(UserError, match="set WANDB_API_KEY"):
        open_tracker(TrackingSettings(mode="online"), tmp_path, {})


@pytest.mark.parametrize("source", ["environment", "netrc", "own server"])
def test_online_with_a_key_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    if source == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    else:
        host = "api.wandb.ai" if source == "netrc" else "wandb.example.org"
        monkeypatch.setenv("WANDB_BASE_URL", f"https://{host}")
        (tmp_path / "netrc").write_text(f"machine {host} login user password {'0' * 40}\n")
    open_tracker(TrackingSettings(mode="online"), tmp_path, {})  # not entered: nothing is sent


def test_an_unknown_mode_is_rejected() -> None:
    with pytest.raises(UserError, match=r"tracking\.mode is 'on'"):
        TrackingSettings(mode="on")


def test_a_start_that_fails_turns_tracking_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wandb").write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        track(tmp_path, evaluations(8))
    (record,) = [
        record
        for record in caplog.records
        if record.name == "falsr_nas.tracking.weights_and_biases"
    ]
    assert "continuing without tracking" in record.getMessage()


_DYING = """
import logging, os, signal, sys, time
from pathlib import Path
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import SearchSummary
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.tracking.trackers import open_tracker

logging.basicConfig(format="%(message)s")
with open_tracker(TrackingSettings(), Path(sys.argv[1]), {}) as tracker:
    tracker.generation(SearchSummary(0, 4, 0, 30.0, 0.5, 2), None)
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = status.read_text().rpartition(")")
        if "wandb" in fields[0] and fields[2].split()[1] == str(os.getpid()):
            os.kill(int(status.parent.name), signal.SIGKILL)
            print("killed")
    for generation in range(1, 20):
        tracker.generation(SearchSummary(generation, 4, 0, 30.0, 0.5, 2), 1.0)
    tracker.finish([], Problem())
time.sleep(1.1)  # W&B names a run's folder by the second of its start
with open_tracker(TrackingSettings(), Path(sys.argv[1]), {}) as tracker:
    tracker.generation(SearchSummary(20, 4, 0, 30.0, 0.5, 2), 1.0)
print("done")
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds W&B's service in /proc")
def test_the_search_continues_after_the_service_dies(tmp_path: Path) -> None:
    env = {
        name: value for name, value in os.environ.items() if "WANDB_SERVICE" not in name
    }  # the child starts its own service
    done = subprocess.run(
        [sys.executable, "-c", _DYING, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["killed", "done"]
    assert done.stderr.count("continuing without tracking") == 1
    assert "Traceback" not in done.stderr
    assert len(run_files(tmp_path)) == 2  # the next search in the process is tracked again


def test_settings_import_nothing_heavy() -> None:
    code = (
        "import sys, falsr_nas.tracking.trackers;"
        " assert not {'wandb', 'torch', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
