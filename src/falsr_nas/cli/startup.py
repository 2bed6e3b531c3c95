"""The start of a command, while its modules are imported. Imports nothing large."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from falsr_nas.errors import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""The signals that stop a command."""


def exit_quietly_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process at once, if it is one of our commands.

    Nothing has begun by then that needs an orderly end, and a KeyboardInterrupt in the middle of an
    import prints a traceback, or is taken for another error. Called by the package's
    ``__init__``, which every command imports first; programs that import the package keep their
    own handlers.
    """
    if _is_command(sys.argv, sys.orig_argv):
        for number in SIGNALS:
            signal.signal(number, _exit)
        atexit.register(_ignore_signals)


def _is_command(arguments: Sequence[str], typed: Sequence[str]) -> bool:
    """Whether the process is ``python -m falsr_nas.x`` or ``falsr-x``.

    Args:
        arguments: ``sys.argv``; it begins with ``-m`` until the module of ``python -m`` is found.
        typed: ``sys.orig_argv``.
    """
    if not arguments:
        return False
    if arguments[0] == "-m":
        return typed[typed.index("-m") + 1].startswith("falsr_nas.") if "-m" in typed else False
    return Path(arguments[0]).name.startswith("falsr-")


def _ignore_signals() -> None:
    """At the end of the process, when Python would reset the handlers: the work is done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _exit(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
