"""Errors that are shown to users as one line, and the exit codes of the commands."""

from __future__ import annotations

SEARCH_ERROR = 1
"""Exit code of a search that cannot continue, and Python's after an exception."""

USER_ERROR = 2
"""Exit code after a mistake in the command, the configuration or the input files."""

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM."""

OUTPUT_CLOSED = 141
"""Exit code after the reader of the output has gone, e.g. ``head``: that of SIGPIPE in shells."""


class UserError(ValueError):
    """A mistake that the user can correct.

    The message says what is wrong, where, and what to do. Commands print it and exit with 2.
    """


class SearchError(Exception):
    """The search cannot continue; finished evaluations are stored.

    Commands print the message and exit with 1.
    """
