"""Interruption by Ctrl-C or SIGTERM: the first stops a search cleanly, a second immediately."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from falsr_nas.errors import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(BaseException):
    """Raised when the search is to stop.

    It is not a KeyboardInterrupt, because Lightning catches that and ends the process silently.
    """


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted at the first SIGINT or SIGTERM in the block; end the process at the second.

    Signals can be handled in the main thread only: in other threads the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    def __init__(self) -> None:
        self._stopping = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR.encode())
            os._exit(
                INTERRUPTED
            )  # workers end with the search, and the store is consistent at any moment
        self._stopping = True
        raise Interrupted
