"""The base of all settings, whose values are checked by the bounds that stand beside them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from functools import wraps
from inspect import cleandoc
from typing import Any, ClassVar, TypeVar

from falsr_nas.core.errors import UserError

REQUIRED: Any = "???"
"""Default of a setting that has none: OmegaConf takes it for a missing value."""

OF_HOLDER = "*"
"""Group of settings that have no place of their own, because others hold several of them.

They are checked with the settings that hold them, so that errors name the place."""

_BOUND, _PATH = "bound", "path"
"""Keys in a field's metadata: of its bound, and of what says that it is a path."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Bound:
    """What a setting may be; of a tuple, each element.

    Attributes:
        allows: whether a value is allowed.
        text: what is allowed, with the unit; an error says "it must be" and this text.
        null: what None stands for; empty where that is plain, None where None is not allowed.
        verb: what an error says instead of "it must be".
    """

    allows: Callable[[Any], bool]
    text: str
    null: str | None = None
    verb: str = "it must be"

    def broken_by(self, value: Any) -> bool:
        """Return whether a value is not allowed."""
        if value is None:
            return self.null is None
        return not all(map(self.allows, value if isinstance(value, tuple) else (value,)))

    @property
    def allowed(self) -> str:
        """What is allowed, with the meaning of None."""
        if self.null is None:
            return self.text
        return f"{self.text}, or null" + (f" for {self.null}" if self.null else "")

    def error(self, value: Any) -> str:
        """Return what an error says about a value that is not allowed."""
        return f"{'each must be' if isinstance(value, tuple) else self.verb} {self.allowed}"


def bounded(
    allows: Callable[[Any], bool],
    text: str,
    *,
    default: Value,
    null: str | None = None,
    verb: str = "it must be",
) -> Value:
    """Declare a setting with a bound.

    For example ``side: int = bounded(is_even, "even", default=2)``.

    Args:
        allows: as of :class:`Bound`; so are text, null and verb.
        text: what is allowed.
        default: the default. None is allowed where it is the default, or ``null`` is given.
        null: what None stands for, e.g. "no limit".
        verb: what an error says before the text.
    """
    if default is None and null is None:
        null = ""
    return field(default=default, metadata={_BOUND: Bound(allows, text, null, verb)})


def at_least(least: float, *, default: Value, unit: str = "", null: str | None = None) -> Value:
    """Declare a number that is not below ``least``; default and null as of :func:`bounded`."""
    text = f"at least {least} {unit}".rstrip()
    return bounded(lambda value: value >= least, text, default=default, null=null)


def positive(*, default: Value, unit: str = "", null: str | None = None) -> Value:
    """Declare a number above 0; default and null as of :func:`bounded`."""
    text, verb = (f"a positive number of {unit}", "give") if unit else ("positive", "it must be")
    return bounded(lambda value: value > 0, text, default=default, null=null, verb=verb)


def between(
    least: float,
    most: float,
    *,
    default: Value,
    excluded: Collection[float] = (),
    unit: str = "",
    null: str | None = None,
) -> Value:
    """Declare a number in a range, without the excluded ends; the rest as of :func:`bounded`."""
    text = f"in {least}..{most} {unit}".rstrip()
    if excluded:
        text += f", {' and '.join(map(str, excluded))} excluded"
    return bounded(
        lambda value: least <= value <= most and value not in excluded,
        text,
        default=default,
        null=null,
    )


def probability(*, default: Value, null: str | None = None) -> Value:
    """Declare a probability, in 0..1; default and null as of :func:`bounded`."""
    return bounded(
        lambda value: 0 <= value <= 1,
        "in 0..1",
        default=default,
        null=null,
        verb="a probability is",
    )


def one_of(choices: Collection[Value], *, default: Value) -> Value:
    """Declare a setting with a few choices. An enumeration needs no such declaration."""
    return bounded(lambda value: value in choices, _one_of(choices), default=default, verb="choose")


_ONE_OF = "one of "


def _one_of(choices: Iterable[Any]) -> str:
    return _ONE_OF + ", ".join(map(str, choices))


def path(*, default: Value) -> Value:
    """Declare a path, or several: ``~`` at its start stands for the home folder."""
    return field(default=default, metadata={_PATH: True})


def at_home(value: Any) -> Any:
    """Return a path with the home folder for ``~`` at its start; also of each path of a list."""
    if isinstance(value, list | tuple):
        return type(value)(map(at_home, value))
    return os.path.expanduser(value) if isinstance(value, str | os.PathLike) else value  # noqa: PTH111


class Settings:
    """Base of frozen dataclasses of settings.

    Before the ``__post_init__`` of any subclass, lists become tuples, names of an enumeration's
    members become these (configs bring lists and names), and all values are checked: numbers must
    be finite, and inside the bounds that their fields declare with :func:`at_least` and the like. A
    subclass that only changes a default keeps the bound. A number without a limit is None, not
    infinite. Paths that are declared with :func:`path` have the home folder for ``~``.

    Args:
        group: where the settings are in a config, for example ``controller.policy``; errors name
            it. Subclasses inherit it.

    Raises:
        UserError: a value is not allowed; one line names the setting, the value and what is
            allowed.
    """

    _group: ClassVar[str] = ""

    def __init_subclass__(cls, group: str | None = None) -> None:
        super().__init_subclass__()
        if group is not None:
            cls._group = group
        if (own := cls.__dict__.get("__post_init__")) is not None:

            @wraps(own)
            def checked(self: Settings) -> None:
                Settings.__post_init__(self)
                own(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        if self._group != OF_HOLDER:
            _check(self, self._group)


@dataclass(frozen=True)
class CommandSettings(Settings):
    """Base of the settings of the commands.

    Attributes:
        plugins: Python files or installed plug-ins whose operators, evaluators and controllers the
            command can use (:mod:`falsr_nas.core.plugins`). From Python, load those whose settings
            or search spaces you make yourself before you make them, by ``load_plugins``.
    """

    plugins: tuple[str, ...] = field(default=(), kw_only=True, metadata={_PATH: True})


def _check(settings: Settings, group: str) -> None:
    bounds, paths = _declared(type(settings), _BOUND), path_settings(type(settings))
    for setting in fields(settings):  # type: ignore[arg-type]
        where = f"{group}.{setting.name}".lstrip(".")
        given = getattr(settings, setting.name)
        value = _of_kind(given, setting.default, where)
        value = at_home(value) if setting.name in paths else value
        if value is not given:
            object.__setattr__(settings, setting.name, value)
        if isinstance(value, Settings) and value._group == OF_HOLDER:
            _check(value, where)
        if not all(map(math.isfinite, _floats(value))):
            raise UserError(f"{where} is {_shown(value)}: give a finite number")
        if (bound := bounds.get(setting.name)) is not None and bound.broken_by(value):
            raise UserError(f"{where} is {_shown(value)}: {bound.error(value)}")


def path_settings(settings: type[Settings]) -> Collection[str]:
    """Return the names of the settings of a class that are paths."""
    return _declared(settings, _PATH).keys()


def _declared(settings: type[Settings], key: str) -> dict[str, Any]:
    """Return what settings have under a key, in the class or in what it inherits from."""
    return {
        name: declared.metadata[key]
        for base in reversed(settings.__mro__)
        for name, declared in getattr(base, "__dataclass_fields__", {}).items()
        if key in declared.metadata
    }


def _of_kind(value: Any, default: Any, where: str) -> Any:
    """Return a tuple for a list, and the member of an enumeration for its name."""
    if isinstance(value, list):
        if isinstance(default, int | float | str) and default != REQUIRED:
            raise UserError(f"{where} is {value}: give one value")
        return tuple(value)
    if not isinstance(default, Enum) or isinstance(value, type(default)):
        return value
    try:
        return type(default)(value)
    except ValueError:
        raise UserError(f"{where} is {value}: choose {_one_of(type(default))}") from None


def _floats(value: Any) -> Iterable[float]:
    values = value if isinstance(value, tuple) else (value,)
    return (number for number in values if isinstance(number, float))


def _shown(value: Any) -> str:
    if value in ("", ()):
        return "empty"
    if value is None:
        return "null"
    return str(list(value)) if isinstance(value, tuple) else repr(value)


@dataclass(frozen=True)
class Described:
    """What is to be said about a setting.

    Attributes:
        name: of the setting.
        kind: its type as it is written in the class.
        default: its value where none is given.
        allowed: the values that it may have, with the unit; empty where the type says all.
        meaning: what it is, from the section ``Attributes`` of its class; empty where that lacks.
    """

    name: str
    kind: str
    default: Any
    allowed: str
    meaning: str

    @property
    def is_flag(self) -> bool:
        """Whether it is true or false."""
        return self.kind == "bool"

    @property
    def is_list(self) -> bool:
        """Whether it has several values."""
        return self.kind.startswith("tuple[")

    @property
    def is_text(self) -> bool:
        """Whether it, or each value of a list, is a text, such as a path."""
        return self.kind in ("str", "str | None", "tuple[str, ...]")

    @property
    def choices(self) -> tuple[str, ...]:
        """What it can be, where that is one of a few values; otherwise empty."""
        if self.is_flag:
            return ("true", "false")
        _, listed, names = self.allowed.partition(_ONE_OF)
        return tuple(names.split(", ")) if listed else ()


def describe_settings(settings: type[Settings]) -> tuple[Described, ...]:
    """Return what is to be said about each setting of a class, inherited ones too."""
    bounds, meanings = _declared(settings, _BOUND), _meanings(settings)
    found = []
    for setting in fields(settings):  # type: ignore[arg-type]
        default = setting.default
        if default is MISSING and setting.default_factory is not MISSING:
            default = setting.default_factory()
        allowed = bounds[setting.name].allowed if setting.name in bounds else ""
        if isinstance(default, Enum):
            allowed = _one_of(type(default))
        meaning = meanings.get(setting.name, "")
        found.append(Described(setting.name, str(setting.type), default, allowed, meaning))
    return tuple(found)


def _meanings(settings: type[Settings]) -> dict[str, str]:
    """Parse the sections ``Attributes`` of the docstrings of a class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        _, _, section = cleandoc(base.__doc__ or "").partition("\nAttributes:\n")
        section = re.split(r"^(?=\S)", section, maxsplit=1, flags=re.MULTILINE)[0]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE):
            found[name] = " ".join(text.split())
    return found


def plain_values(settings: Any) -> Any:
    """Return settings as JSON values: mappings, lists, and the names of enumerations."""
    if is_dataclass(settings):
        return {
            setting.name: plain_values(getattr(settings, setting.name))
            for setting in fields(settings)
        }
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
