"""What can be wrong with images and their settings."""

from __future__ import annotations

from falsr_nas.errors import UserError


class DataError(UserError):
    """An image, a folder or a setting that cannot be used. The message names it."""
