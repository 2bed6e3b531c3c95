"""Standard output: the console of printed tables, and what happens when nobody reads it."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from falsr_nas.core.errors import OUTPUT_CLOSED, USER_ERROR

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

TABLE_WIDTH = 140
"""Columns of printed tables where the output is not a terminal."""

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EBADF, errno.EIO)


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

    An output that the caller closed is none; one that cannot be written is a user's mistake.
    Characters that it cannot show are escaped.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # otherwise the next file that is opened would get what is printed
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        is_utf8 = sys.stdout.encoding.lower() == "utf-8"  # names of files are any bytes
        sys.stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if mistake := output_mistake(error):
            print(f"error: {mistake}", file=sys.stderr)
            sys.exit(USER_ERROR)
        closed = [stream for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream.fileno())]
        if not (closed and isinstance(error, BrokenPipeError)):
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in closed:  # Python flushes both once more when it exits
            os.dup2(nowhere, stream.fileno())
        sys.exit(OUTPUT_CLOSED)


def output_mistake(error: Exception) -> str:
    """Say that standard output cannot be written, and give it up; empty for other errors."""
    if not isinstance(error, OSError) or error.errno not in _UNWRITABLE or error.filename:
        return ""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it at its end
    return f"the output cannot be written: {error.strerror}"


def _has_no_reader(file: int) -> bool:
    """Whether a file descriptor is a pipe or a socket that nobody reads any more."""
    poll = select.poll()
    poll.register(file, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
