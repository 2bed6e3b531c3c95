"""Folders of searches: ``run_dir`` of one search, or of a sweep, which holds several."""

from __future__ import annotations

from pathlib import Path

from falsr_nas.core.errors import UserError

STORE = "search.db"
"""Name of the store in the folder of a search."""


def search_name(folder: Path) -> str:
    """Return the name of the search in a folder: the folder's, ``seeds/0`` for one of a sweep."""
    folder = folder.resolve()
    sweep = folder.parent
    is_job = folder.name.isdigit() and any(
        (sweep / name).exists() for name in ("multirun.yaml", "0")
    )
    return f"{sweep.name}/{folder.name}" if is_job else folder.name


def group_of(folder: Path) -> str:
    """Return the name of the sweep that a search is of, or of the search where there is none."""
    return search_name(folder).split("/")[0]


def searches_in(folder: Path) -> list[Path]:
    """Return the folder of a search, or the folders of all searches in it, sorted.

    Raises:
        UserError: there is no such folder, or it holds no search.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give run_dir of a search or of a sweep")
    if (folder / STORE).exists():
        return [folder]
    searches = sorted(path.parent for path in folder.rglob(STORE))
    if not searches:
        raise UserError(
            f"{folder} holds no search: give a folder that was run_dir of falsr_nas.search"
        )
    return searches


def search_in(folder: Path) -> Path:
    """Return the folder of a single search.

    Raises:
        UserError: as :func:`searches_in`, or the folder holds several searches.
    """
    searches = searches_in(folder)
    if searches != [folder]:
        names = ", ".join(map(str, searches[:3])) + (", ..." if len(searches) > 3 else "")
        raise UserError(f"{folder} holds a sweep: give one of its searches, {names}")
    return folder
