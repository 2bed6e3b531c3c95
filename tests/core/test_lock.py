"""Exclusive use of folders, also where the file system has no locks."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from falsr_nas.archive.store import Store
from falsr_nas.core.errors import UserError
from falsr_nas.core.lock import exclusive, has_locks, network_file_system
from falsr_nas.core.turns import alone, working


def test_a_second_user_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path),
        pytest.raises(UserError, match=f"in use by process {os.getpid()} on "),
        exclusive(tmp_path),
    ):
        pass
    with exclusive(tmp_path):
        assert has_locks(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_a_warning_is_all(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(tmp_path), working(), alone(), Store(tmp_path / "a.db", {"seed": 1}):
        assert "this file system has no locks" in caplog.text
        assert not (tmp_path / "a.db-shm").exists()  # shared memory needs locks
    with Store(tmp_path / "a.db") as store:
        assert store.config == {"seed": 1}


def test_another_error_of_a_lock_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="I/O error"), exclusive(tmp_path):
        pass


def test_network_file_systems_are_known_by_the_list_of_mounts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    inside = tmp_path / "a b/c"
    inside.mkdir(parents=True)
    place = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nhost:/home {place} nfs4 rw 0 0\n"
        f"x {tmp_path}/s fuse.sshfs rw 0 0\n"
    )
    assert network_file_system(inside, mounts) == "nfs4"
    assert network_file_system(tmp_path, mounts) is None
    (tmp_path / "s").mkdir()
    assert network_file_system(tmp_path / "s", mounts) == "fuse.sshfs"
    assert network_file_system(tmp_path, tmp_path / "missing") is None


def test_a_folder_on_a_network_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/ {tmp_path} nfs rw 0 0\n")
    monkeypatch.setattr("falsr_nas.core.lock.MOUNTS", mounts)
    with exclusive(tmp_path):
        assert f"{tmp_path} is on nfs: use it from one machine at a time" in caplog.text


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    drafts = [tmp_path / f".{'0a' * 8}.tmp", tmp_path / f"weights/.{'1b' * 8}.tmp"]
    others = [tmp_path / ".notes.tmp", tmp_path / f"{'0a' * 8}.tmp", tmp_path / ".0a.tmp"]
    for path in drafts + others:
        path.write_text("x")
    with exclusive(tmp_path):
        assert not any(path.exists() for path in drafts)
        assert all(path.exists() for path in others)
