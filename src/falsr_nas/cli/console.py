"""Standard output: the console of printed tables, and what happens when nobody reads it."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from falsr_nas.core.errors import OUTPUT_CLOSED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

TABLE_WIDTH = 140
"""Columns of printed tables where the output is not a terminal."""


def console() -> Console:
    """Return a console on standard output, as wide as the terminal, or TABLE_WIDTH without one."""
    from rich.console import Console

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704  # rich would exit with code 1

    width = None if sys.stdout.isatty() else TABLE_WIDTH
    return PlainConsole(width=width, markup=False, emoji=False)  # messages may have brackets


def progress_bars(shown: bool) -> Progress:
    """Return bars on standard error that vanish at the end; hidden where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    screen = Console(stderr=True)
    return Progress(console=screen, transient=True, disable=not (shown and screen.is_terminal))


@contextmanager
def closed_output_ends_quietly() -> Iterator[None]:
    """Exit with OUTPUT_CLOSED if the reader of the output goes away, as ``head`` does.

    Raises:
        BrokenPipeError: if another pipe broke than standard output or standard error.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream.fileno())]
        if not closed:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in closed:  # Python flushes both once more when it exits
            os.dup2(nowhere, stream.fileno())
        sys.exit(OUTPUT_CLOSED)


def _has_no_reader(file: int) -> bool:
    """Whether a file descriptor is a pipe or a socket that nobody reads any more."""
    poll = select.poll()
    poll.register(file, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
