"""Signals: Ctrl-C, SIGTERM or SIGHUP stops a search cleanly, a second one immediately."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from falsr_nas.core.errors import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that stop a command. Batch systems and closed terminals send the last one."""

_RETRY_SECONDS = 0.001
"""Shorter than what a command does between two imports, so that one of these times is met."""
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(BaseException):
    """Raised when the search is to stop.

    It is not a KeyboardInterrupt, because Lightning catches that and ends the process silently.
    """


def exit_quietly_on_signals() -> None:
    """Let these signals end the process at once, until :func:`interruptible` takes over.

    Commands call it first. Nothing has begun by then that needs an orderly end, and a
    KeyboardInterrupt in the middle of an import prints a traceback, or is taken for another error.
    In other threads than the main one, which cannot handle signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _not_ignored():
        signal.signal(number, _exit)
    # Batch systems send it before they stop a job; without a handler it ends the process. It is not
    # ignored, because processes that are started would then ignore it, too.
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    atexit.register(_ignore_signals)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted at the first signal in the block; end the process at the second.

    Signals can be handled in the main thread only: in other threads the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in _not_ignored()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _not_ignored() -> list[signal.Signals]:
    """Return the signals that stop this process: ``nohup`` makes it ignore SIGHUP."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in SIGNALS if not (ignored and number is signal.SIGHUP)]


class _Stop:
    """The handler of the signals.

    During an import nothing is raised, because exceptions in an import may be lost or be taken for
    other errors: the signal is sent again later.
    """

    def __init__(self) -> None:
        self._stopping = False
        self._imports_around = _imports_under_way(sys._getframe())

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR.encode())
            os._exit(
                INTERRUPTED
            )  # workers end with the search, and the store is consistent at any moment
        if _imports_under_way(frame) > self._imports_around:
            # Not a threading.Thread: its locks may be held by what the signal interrupted.
            _thread.start_new_thread(_send_again, (number,))
            return
        self._stopping = True
        raise Interrupted


def _send_again(number: int) -> None:
    time.sleep(_RETRY_SECONDS)
    os.kill(os.getpid(), number)


def _imports_under_way(frame: FrameType | None) -> int:
    """Count the calls of Python's import system among the callers of a frame."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename == "<frozen importlib._bootstrap>"
        frame = frame.f_back
    return count


def _ignore_signals() -> None:
    """At the end of the process, when Python would reset the handlers: the work is done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _exit(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
