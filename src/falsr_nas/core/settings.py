"""The base of all settings: numbers are checked where they are declared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import wraps
from typing import Any, ClassVar

from falsr_nas.core.errors import UserError

REQUIRED: Any = "???"
"""Default of a setting that has none: OmegaConf takes it for a missing value."""


class Settings:
    """Base of frozen dataclasses of settings, all of whose numbers must be finite.

    The check runs before the ``__post_init__`` of any subclass, so that no subclass can forget it
    and none has to ask for NaN in its own checks. A number without a limit is None, not infinite.

    Args:
        group: where the settings are in a config, for example ``controller.policy``; errors name
            it. Subclasses inherit it.

    Raises:
        UserError: a number is NaN or infinite.
    """

    _group: ClassVar[str] = ""

    def __init_subclass__(cls, group: str | None = None) -> None:
        super().__init_subclass__()
        if group is not None:
            cls._group = group
        if (own := cls.__dict__.get("__post_init__")) is not None:

            @wraps(own)
            def checked(self: Settings) -> None:
                check_finite(self)
                own(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        check_finite(self)


@dataclass(frozen=True)
class CommandSettings(Settings):
    """Base of the settings of the commands.

    Attributes:
        plugins: Python files or installed plug-ins whose operators, evaluators and controllers the
            command can use (:mod:`falsr_nas.core.plugins`). From Python, load those whose settings
            or search spaces you make yourself before you make them, by ``load_plugins``.
    """

    plugins: tuple[str, ...] = field(default=(), kw_only=True)


def check_finite(settings: Settings) -> None:
    """Raise UserError if a number of the settings, or of a list in them, is NaN or infinite."""
    for one in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, one.name)
        if not all(map(math.isfinite, _floats(value))):
            name = f"{settings._group}.{one.name}".lstrip(".")
            shown = list(value) if isinstance(value, tuple) else value
            raise UserError(f"{name} is {shown}: give a finite number")


def _floats(value: Any) -> Iterable[float]:
    if isinstance(value, float):
        return (value,)
    if isinstance(value, list | tuple):
        return (one for one in value if isinstance(one, float))
    return ()


def plain_values(settings: Any) -> Any:
    """Return settings as JSON values: mappings, lists, and the names of enumerations."""
    if is_dataclass(settings):
        return {one.name: plain_values(getattr(settings, one.name)) for one in fields(settings)}
    if isinstance(settings, Enum):
        return settings.name
    if isinstance(settings, list | tuple):
        return [plain_values(value) for value in settings]
    return settings


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten a nested mapping to dotted keys, e.g. ``{"space.n": 7}``; lists stay values."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, child in value.items():
        flat |= flatten(child, f"{prefix}.{key}" if prefix else str(key))
    return flat
