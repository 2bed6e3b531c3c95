"""Errors about images and their settings."""

from __future__ import annotations

from falsr_nas.core.errors import UserError


class DataError(UserError):
    """An image, a folder or a setting cannot be used; the message names it."""
