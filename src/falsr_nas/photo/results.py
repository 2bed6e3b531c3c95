"""Which files are results, and of what: remembered by their content in the user's cache folder.

Names and dates say little: a photograph may be replaced by another one of the same name and of any
date, and results may be moved.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import cache_folder, make_folder


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content; raises OSError if it cannot be read, or is a pipe."""
    if not path.is_file():  # opening a pipe would wait for its other end
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remember_result(path: Path, recipe: str) -> None:
    """Remember what a file was made of, where the cache folder can be written."""
    with suppress(OSError):
        _query("INSERT OR REPLACE INTO results VALUES (?, ?)", digest(path), recipe)


def recipes_of(path: Path) -> set[str]:
    """Return what a file is known to be the result of; nothing if it is none, or was changed."""
    with suppress(OSError):
        found = _query("SELECT recipe FROM results WHERE result = ?", digest(path))
        return {str(row[0]) for row in found}
    return set()


def _query(sql: str, *values: str) -> list[tuple[object, ...]]:
    with suppress(sqlite3.Error, UserError):
        make_folder(cache_folder())
        with closing(sqlite3.connect(cache_folder() / "results.db", timeout=10)) as db, db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS results"
                " (result TEXT, recipe TEXT, PRIMARY KEY (result, recipe)) WITHOUT ROWID"
            )
            return db.execute(sql, values).fetchall()
    return []
