"""Registries: what is known by name, and of config groups what builds each option."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

from falsr_nas.core import plugins
from falsr_nas.core.errors import UserError

SettingsType = TypeVar("SettingsType")
Built = TypeVar("Built")
Entry = TypeVar("Entry")


class ByName(Mapping[str, Entry]):
    """What is registered in a group by name, in that order. Plug-ins can add to it.

    Args:
        group: what is registered, e.g. ``operator``.
        entries: those of the package.
    """

    _name: ClassVar[re.Pattern[str]] = re.compile(r"[a-z][a-z0-9_]{0,31}")
    _advice: ClassVar[str] = "lower case letters, digits and _, such as my_own"

    def __init__(self, group: str, entries: Mapping[str, Entry] = MappingProxyType({})) -> None:
        self.group = group
        self._entries = dict(entries)

    def add(self, name: str, entry: Entry, *, ours: bool = False) -> None:
        """Register an entry.

        Args:
            name: of the entry.
            entry: what is registered.
            ours: whether it is the package's own, even if a plug-in is being loaded.

        Raises:
            UserError: the name is taken, or cannot be used.
        """
        if not self._name.fullmatch(name):
            raise UserError(f"{name!r} cannot be {self._kind()}: give {self._advice}")
        if name in self._entries:
            taken = plugins.owner(self.group, name)
            by = "" if taken is None else f" by the plug-in {taken.name}"
            raise UserError(f"{self._title(name)} is registered already{by}")
        self._entries[name] = entry
        if not ours:
            plugins.registered(self.group, name, lambda: self._remove(name))

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise self._missing(name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _missing(self, name: str) -> Exception:
        """Return the error for a name that is not registered."""
        return KeyError(name)

    def _kind(self) -> str:
        return f"the name of an {self.group}"

    def _title(self, name: str) -> str:
        return f"{self.group} {name}"

    def _remove(self, name: str) -> None:
        del self._entries[name]


@dataclass(frozen=True)
class Option(Generic[SettingsType, Built]):
    """An option of a config group.

    Attributes:
        name: what a user types, e.g. ``nsga2`` in ``controller=nsga2``.
        settings: the dataclass of its settings.
        factory: called with the settings and further arguments; or its place, ``"module:name"``,
            so that its libraries are imported only when the option is used.
        extra: the optional dependencies of this package that it needs, if any.
    """

    name: str
    settings: type[SettingsType]
    factory: str | Callable[..., Built]
    extra: str | None = None


class Registry(ByName[Option[SettingsType, Built]]):
    """The options of a config group.

    Args:
        group: name of the config group, e.g. ``controller``.
    """

    def __init__(self, group: str) -> None:
        super().__init__(group)
        self._schemas: dict[str, type[SettingsType]] = {}

    def register(
        self, name: str, factory: str | Callable[..., Built], extra: str | None = None
    ) -> Callable[[type[SettingsType]], type[SettingsType]]:
        """Decorate a settings dataclass to add an option; arguments as of :class:`Option`.

        Raises:
            UserError: the name is taken, or cannot be used.
        """

        def add(settings: type[SettingsType]) -> type[SettingsType]:
            ours = settings.__module__.startswith("falsr_nas.")  # a plug-in may import it first
            self.add(name, Option(name, settings, factory, extra), ours=ours)
            self._schemas[name] = settings
            return settings

        return add

    @property
    def schemas(self) -> Mapping[str, type[SettingsType]]:
        """The settings dataclass of each option by name, also of those registered later."""
        return MappingProxyType(self._schemas)

    def name_of(self, settings: SettingsType) -> str:
        """The option that these settings are for. Raises TypeError where none is registered."""
        return self._option(settings).name

    def build(self, settings: SettingsType, *arguments: Any) -> Built:
        """Call the option's factory with its settings and the arguments.

        Raises:
            UserError: the option needs a library that is not installed.
            TypeError: no option has settings of this type.
        """
        option = self._option(settings)
        try:
            return resolve(option.factory)(settings, *arguments)
        except ModuleNotFoundError as error:
            if option.extra is None:
                raise
            raise UserError(
                f"{self.group}={option.name} needs a library that is not installed ({error.name}):"
                f" pip install 'falsr-nas[{option.extra}]'"
            ) from None

    def _kind(self) -> str:
        return f"an option of {self.group}"

    def _title(self, name: str) -> str:
        return f"{self.group}={name}"

    def _remove(self, name: str) -> None:
        del self._entries[name], self._schemas[name]

    def _option(self, settings: SettingsType) -> Option[SettingsType, Built]:
        for option in self.values():
            if type(settings) is option.settings:
                return option
        raise TypeError(f"no {self.group} is registered for {type(settings).__name__}")


def resolve(factory: str | Callable[..., Built]) -> Callable[..., Built]:
    """Return what a factory's place ``"module:name"`` stands for; a factory is returned as it is.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such name.
    """
    if not isinstance(factory, str):
        return factory
    module, _, name = factory.partition(":")
    found: Callable[..., Built] = attrgetter(name)(import_module(module))
    return found
