"""The time that a process has run: while it is suspended (SIGSTOP, Ctrl-Z), none passes."""

from __future__ import annotations

import threading
import time
import weakref

TICK, LONGEST = 0.25, 2.0
"""Seconds between two looks at the clock, and above which the process was suspended."""


class RunningTime:
    """A clock: a call returns the seconds for which this process has run since it was made."""

    def __init__(self) -> None:
        self._lock, self._at, self._seconds = threading.Lock(), time.monotonic(), 0.0
        threading.Thread(target=_look, args=(weakref.ref(self),), daemon=True).start()

    def __call__(self) -> float:
        """Return the seconds."""
        with self._lock:
            gap = time.monotonic() - self._at
            self._at += gap
            self._seconds += gap if gap < LONGEST else TICK
            return self._seconds


def _look(clock: weakref.ref[RunningTime]) -> None:
    while (running := clock()) is not None:
        running()
        del running
        time.sleep(TICK)
