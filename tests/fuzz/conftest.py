"""Every fuzz test also watches what the hostile bytes allocate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fuzz.mutations import check_memory, peak_memory


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    before = peak_memory()
    yield
    check_memory(before)
