from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import open_atomically, write_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    write_atomically(path, b"old")
    write_atomically(path, b"new\n")
    assert path.read_bytes() == b"new\n"
    assert [file.name for file in tmp_path.iterdir()] == ["front.csv"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "front.csv"
    write_atomically(path, b"old")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
    with pytest.raises(UserError, match=r"front\.csv: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["front.csv"]


def test_folders_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "folder" / "front.csv", b"new")
    assert (tmp_path / "new" / "folder" / "front.csv").read_bytes() == b"new"


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    for path in (tmp_path / "note" / "front.csv", tmp_path / "note" / "a" / "front.csv"):
        with pytest.raises(UserError, match=r"cannot make the folder .*: \S*note is a file$"):
            write_atomically(path, b"")


def test_a_writer_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt), open_atomically(path) as file:
        file.write(b"half of a ")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["front.csv"]
