"""Exclusive use of folders, also where the file system has no locks."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from falsr_nas.archive.store import Store
from falsr_nas.core.errors import UserError
from falsr_nas.core.lock import exclusive, has_locks
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
