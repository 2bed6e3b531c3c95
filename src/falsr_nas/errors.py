"""What a user can mend: errors whose message is the one line that people see."""

from __future__ import annotations


class UserError(ValueError):
    """A user's mistake. The message says what was wrong, where, and what to do; commands print it and exit with 2."""


class SearchError(Exception):
    """The search cannot go on; the message says why. What was finished is stored. Commands print it and exit with 1."""
