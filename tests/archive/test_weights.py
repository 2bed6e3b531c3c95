import errno
import logging
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from falsr_nas.archive.database import DiskFullError
from falsr_nas.archive.weights import Weights, WeightsFolder
from falsr_nas.core.errors import UserError

TENSORS = {
    "stem.weight": np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3),
    "stem.bias": np.ones(1, dtype=np.float32),
}
WEIGHTS = Weights.of(TENSORS, steps=500)


def test_weights_are_a_safetensors_file_that_says_what_it_holds(tmp_path: Path) -> None:
    folder = WeightsFolder(tmp_path / "weights")
    folder.save("abc", 1, WEIGHTS)
    (file,) = (tmp_path / "weights").iterdir()
    read = safetensors.numpy.load_file(file)
    assert all(np.array_equal(read[name], TENSORS[name]) for name in TENSORS)
    loaded = folder.load("abc", 1)
    assert loaded == WEIGHTS
    assert loaded.steps == 500


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:50],
        lambda data: data[:-4],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: b"[]",
        lambda data: safetensors.numpy.save(TENSORS),
    ],
)
def test_damaged_weights_are_none_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage
) -> None:
    folder = WeightsFolder(tmp_path)
    folder.save("abc", 0, WEIGHTS)
    (tmp_path / "abc-0.safetensors").write_bytes(damage(WEIGHTS.data))
    with caplog.at_level(logging.WARNING):
        assert folder.load("abc", 0) is None
        assert folder.load("lost", 0) is None
    assert len(caplog.messages) == 2
    assert "abc-0.safetensors cannot be used" in caplog.messages[0]
    assert "lost-0.safetensors is missing" in caplog.messages[1]


def test_only_weights_in_use_stay(tmp_path: Path) -> None:
    folder = WeightsFolder(tmp_path)
    a, b, c = (letter * 16 for letter in "abc")
    WeightsFolder(tmp_path / "never made").prune({a})
    for key, rung in ((a, 0), (a, 1), (b, 0), (c, 2)):
        folder.save(key, rung, WEIGHTS)
    (tmp_path / f".{'d' * 16}.tmp").write_bytes(b"from a search that was killed")
    folder.prune({a, c})
    kept = {f"{a}-0.safetensors", f"{a}-1.safetensors", f"{c}-2.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_files_of_others_stay(tmp_path: Path) -> None:
    others = {"model.safetensors", "other-0.safetensors", "notes.tmp", f"{'b' * 15}-0.safetensors"}
    for name in others:
        (tmp_path / name).write_bytes(b"somebody's")
    WeightsFolder(tmp_path).prune(set())
    assert {path.name for path in tmp_path.iterdir()} == others
    link = tmp_path.parent / "weights"
    link.symlink_to(tmp_path)
    WeightsFolder(tmp_path).save("b" * 16, 0, WEIGHTS)
    WeightsFolder(link).prune(set())
    assert (tmp_path / f"{'b' * 16}-0.safetensors").exists()


def test_on_a_full_disk_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []

    def full(path: Path, content: bytes) -> None:
        if len(waited) < 2:
            raise UserError("cannot write") from OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)

    def wait(error: DiskFullError, retries: int) -> None:
        waited.append(retries)

    monkeypatch.setattr("falsr_nas.archive.weights.write_atomically", full)
    WeightsFolder(tmp_path, wait).save("a", 0, WEIGHTS)
    assert waited == [0, 1]
    assert WeightsFolder(tmp_path).load("a", 0) == WEIGHTS
    waited.clear()
    with pytest.raises(UserError, match="cannot write"):
        WeightsFolder(tmp_path).save("a", 0, WEIGHTS)
