"""``tracking=csv`` and ``tracking=tensorboard``, through Lightning's loggers."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.objectives.summary import SearchSummary
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.tracking.trackers import open_tracker, open_training_tracker

SUMMARIES = [
    SearchSummary(0, 4, 0, 30.0, 0.5, 2),
    SearchSummary(1, 8, 1, 31.0, 0.75, 3, {"timeout": 1}, 2),
]
IMAGES = np.random.default_rng(0).integers(0, 256, (96, 288), dtype=np.uint8)
METRICS = {"psnr": 28.5, "loss": 0.25, "learning_rate": 0.125}


def track_search(mode: str, folder: Path) -> None:
    with open_tracker(TrackingSettings(mode=mode), folder, {"seed": 1, "space.n": 3}) as tracker:
        for summary, rate in zip(SUMMARIES, (None, 120.0), strict=True):
            tracker.generation(summary, rate)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def events(folder: Path) -> object:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def test_a_search_in_a_csv_file(tmp_path: Path) -> None:
    track_search("csv", tmp_path)
    first, second = rows(tmp_path / "csv/version_0/metrics.csv")
    assert (first["step"], first["hypervolume"], first["best_psnr"]) == ("0", "0.5", "30.0")
    assert (second["candidates_per_hour"], second["failures/timeout"]) == ("120.0", "1")
    assert "space.n: 3" in (tmp_path / "csv/version_0/hparams.yaml").read_text()
    track_search("csv", tmp_path)  # as a resumed search does
    assert len(rows(tmp_path / "csv/version_0/metrics.csv")) == 2
    assert len(rows(tmp_path / "csv/version_1/metrics.csv")) == 2


def test_a_search_in_tensorboard(tmp_path: Path) -> None:
    track_search("tensorboard", tmp_path)
    found = events(tmp_path)
    assert [(e.step, e.value) for e in found.Scalars("hypervolume")] == [(0, 0.5), (1, 0.75)]
    assert [(e.step, e.value) for e in found.Scalars("failures/timeout")] == [(1, 1.0)]


def test_a_training_in_tensorboard_has_images(tmp_path: Path) -> None:
    import io

    from PIL import Image

    with open_training_tracker(TrackingSettings(mode="tensorboard"), tmp_path, {}) as tracker:
        tracker.validated(METRICS, 10, IMAGES)
    found = events(tmp_path)
    assert {name: found.Scalars(name)[0].value for name in METRICS} == METRICS
    (image,) = found.Images("validation")
    assert image.step == 10
    with Image.open(io.BytesIO(image.encoded_image_string)) as shown:
        assert (np.asarray(shown.convert("L")) == IMAGES).all()


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falsr_nas.tracking.lightning_loggers.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'falsr-nas\[tensorboard\]'"):
        open_tracker(TrackingSettings(mode="tensorboard"), tmp_path, {})
    open_tracker(TrackingSettings(mode="csv"), tmp_path, {})


def test_a_folder_that_cannot_be_written_ends_the_tracking_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "csv").touch()
    with open_training_tracker(TrackingSettings(mode="csv"), tmp_path, {}) as tracker:
        tracker.validated(METRICS, 10, IMAGES)
        tracker.validated(METRICS, 20, IMAGES)
    assert caplog.text.count("continuing without tracking") == 1


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_says_nothing_of_lightning(tmp_path: Path, devices: int) -> None:
    command = [
        sys.executable, "-m", "falsr_nas.train", "genome=stem_f4 conv_f4_k1_b1_noskip | ",
        "training.epochs=2", "training.steps_per_epoch=4", "training.batch_size=4",
        "training.patch_size=8", "data.val_crop=32", "trainer.validate_every=1",
        "trainer.accelerator=cpu", f"trainer.devices={devices}", "tracking=csv", "output=out",
    ]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, env=env
    )
    first, *validations = done.stderr.splitlines()
    assert first.startswith("1 of 1: ")
    assert [line.split(":")[0] for line in validations] == ["step 4 of 8", "step 8 of 8"]
    best = tmp_path / "out/best"
    logged, kept = rows(best / "csv/version_0/metrics.csv"), rows(best / "curve.csv")
    assert [row["step"] for row in logged] == [row["step"] for row in kept] == ["4", "8"]
    for name in ("psnr", "loss", "learning_rate"):
        assert [float(row[name]) for row in logged] == pytest.approx(
            [float(row[name]) for row in kept], abs=1e-4
        )
    assert all(float(row["loss"]) > 0 for row in logged)
