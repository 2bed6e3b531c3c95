"""Checks the memory of every fuzz test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fuzz.mutations import check_memory, peak_memory


@pytest.fixture(autouse=True)
def _memory_hardly_grows() -> Iterator[None]:
    before = peak_memory()
    yield
    check_memory(before)
