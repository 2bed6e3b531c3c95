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


def test_a_draft_is_not_written_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link made in advance by somebody who may write to the folder, too."""
    victim, path = tmp_path / "victim", tmp_path / "front.csv"
    victim.write_bytes(b"mine")
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (tmp_path / ".guessed.tmp").symlink_to(victim)
    with pytest.raises(UserError, match=r"cannot write .*front\.csv: File exists"):
        write_atomically(path, b"new")
    assert victim.read_bytes() == b"mine"
    assert not path.exists()


def test_names_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    for name in ("a" * 251 + ".csv", "ä" * 125 + ".csv"):
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"


def test_files_have_the_permissions_that_new_files_have(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "front.csv", b"new")
        (tmp_path / "other.csv").touch()
    finally:
        os.umask(before)
    modes = {(tmp_path / name).stat().st_mode for name in ("front.csv", "other.csv")}
    assert len(modes) == 1
