"""The link to the best of several trained models."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.models.names import WEIGHTS
from falsr_nas.models.pretrained import from_pretrained, save_pretrained
from falsr_nas.train.run import point_to_best


def trained(output: Path, name: str, psnr: str) -> Path:
    model = from_pretrained("falsr-nano-x2")
    model.provenance["validation_psnr"] = psnr
    save_pretrained(model, output / name, "")
    return output / name


def test_a_damaged_model_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained(tmp_path, "good", "30.1")
    better = trained(tmp_path, "better", "30.2")
    damaged = trained(tmp_path, "damaged", "31.0")
    (damaged / WEIGHTS).write_bytes((damaged / WEIGHTS).read_bytes()[:99])
    trained(tmp_path, "odd", "no number")
    assert point_to_best(tmp_path).resolve() == better
    assert "damaged is not compared with the others" in caplog.text
    assert "odd is not compared with the others" in caplog.text


def test_trainings_that_end_at_the_same_moment(tmp_path: Path) -> None:
    best = trained(tmp_path, "best-one", "30.2")
    with ThreadPoolExecutor(8) as threads:
        links = list(threads.map(lambda _: point_to_best(tmp_path), range(200)))
    assert {link.resolve() for link in links} == {best}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "best-one"]


def test_a_folder_in_place_of_the_link_is_left_alone(tmp_path: Path) -> None:
    trained(tmp_path, "one", "30.2")
    shutil.copytree(tmp_path / "one", tmp_path / "best")
    with pytest.raises(UserError, match="best cannot be made"):
        point_to_best(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"best", "one"}
