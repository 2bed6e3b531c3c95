"""Errors of genomes and search spaces."""

from falsr_nas.core.errors import UserError

_LONGEST_MESSAGE = 400


class GenomeError(UserError):
    """A text, JSON value or set of arguments that is not a valid genome.

    The message says where the error is and why. Messages that quote long input are cut off.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."
        )


class SpaceError(UserError):
    """A search space without a valid network, or a genome that is not in the search space."""
