"""Random damage to bytes, for the fuzz tests."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FALSR_NAS_FUZZ", "100"))
"""Examples per test: few by default, FALSR_NAS_FUZZ=20000 for some hours of fuzzing."""

fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

_MOST_MEMORY = 256 * 2**20
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Edit = Callable[[bytearray], None]


def mutated(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for one of the seeds with up to eight edits.

    Edits set bytes and numbers, copy, insert or cut spans of bytes, and cut off the end.
    """
    place = st.integers(0, max(map(len, seeds)))
    number = st.sampled_from(_INTERESTING) | st.integers(0, 2**32 - 1)
    order = st.sampled_from(("little", "big"))
    edits = st.one_of(
        st.builds(_set, place, st.integers(0, 255), st.just(1), order),
        st.builds(_set, place, number, st.sampled_from((2, 4)), order),
        st.builds(_copy, place, place, st.integers(1, 64)),
        st.builds(_insert, place, st.binary(max_size=24)),
        st.builds(_cut, place, st.integers(1, 32)),
        st.builds(_cut, place, st.just(10**9)),
    )
    return st.builds(_apply, st.sampled_from(seeds), st.lists(edits, min_size=1, max_size=8))


def check_memory(before: int) -> None:
    """Assert that the process's peak memory has hardly grown.

    Args:
        before: what :func:`peak_memory` returned before the test.
    """
    assert peak_memory() - before < _MOST_MEMORY


def peak_memory() -> int:
    """Return the peak of this process's memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _apply(seed: bytes, edits: list[Edit]) -> bytes:
    content = bytearray(seed)
    for edit in edits:
        edit(content)
    return bytes(content)


def _set(place: int, value: int, size: int, order: str) -> Edit:
    def edit(content: bytearray) -> None:
        start = place % (len(content) + 1)
        content[start : start + size] = (value % 256**size).to_bytes(size, order)

    return edit


def _copy(source: int, target: int, length: int) -> Edit:
    def edit(content: bytearray) -> None:
        start, end = source % (len(content) + 1), target % (len(content) + 1)
        content[end:end] = content[start : start + length]

    return edit


def _insert(place: int, value: bytes) -> Edit:
    def edit(content: bytearray) -> None:
        start = place % (len(content) + 1)
        content[start:start] = value

    return edit


def _cut(place: int, length: int) -> Edit:
    def edit(content: bytearray) -> None:
        start = place % (len(content) + 1)
        del content[start : start + length]

    return edit
