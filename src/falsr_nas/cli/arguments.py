"""Translation of what is typed into Hydra's options and overrides.

Besides Hydra's ``key=value``, a command takes words without a name, ``--name value``,
``--name=value``, ``--flag``, ``--no-flag`` and ``-o``.
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os.path import exists

from falsr_nas.cli.config import Schemas, experiments
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import SETTING
from falsr_nas.core.settings import Described

SWEEP = ("-m", "--multirun")
HELP = ("-h", "--help")

EXPERIMENT = "experiment"
"""The config group of experiments, of which a config has none by default: hence ``+``."""

# Hydra's options that take a value, and those that take none or may have one.
_WITH_VALUE = (
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
)
_INFO = ("--info", "-i")
_INFO_VALUES = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_ALONE = (*SWEEP, *HELP, "--hydra-help", "--resolve", "--run", "-r", "--shell-completion", "-sc")

_OVERRIDE = re.compile(r"(?:\+{1,2}|~)?([A-Za-z_][\w./@:$-]*)=")
_UNTOUCHED = ("", "null", "???")


@dataclass(frozen=True)
class Arguments:
    """A command line as Hydra's parser needs it.

    Attributes:
        options: Hydra's options. They come first, because its parser refuses them between settings.
        overrides: the settings.
    """

    options: tuple[str, ...]
    overrides: tuple[str, ...]

    @property
    def asks_for_help(self) -> bool:
        """Whether the help of the command is to be shown."""
        return bool({*HELP} & {*self.options})


def hydra_arguments(typed: Sequence[str], command: str, schemas: Schemas) -> Arguments:
    """Translate the words that follow a command.

    Texts such as paths and genomes need no quotes for Hydra, and lists no brackets. A sweep's
    settings are left as they are, because commas separate its jobs.

    Args:
        typed: the words.
        command: its name.
        schemas: its settings.

    Raises:
        UserError: there is no such setting or experiment, a value is missing, or there are too many
            words.
    """
    translation = _Translation(command, schemas, sweeps=any(word in SWEEP for word in typed))
    rest = deque(typed)
    while rest:
        translation.take(rest.popleft(), rest)
    return translation.arguments()


def named_plugins(typed: Sequence[str]) -> list[str]:
    """Return the plug-ins that the words name, before anything else is known about them."""
    found: list[str] = []
    for place, word in enumerate(typed):
        name, equals, value = word.partition("=")
        if name.lstrip("+-") == SETTING:
            value = value if equals else "".join(typed[place + 1 : place + 2])
            found += [part.strip("'\" ") for part in value.strip("[]").split(",")]
    return [name for name in found if name]


def usage(command: str, schemas: Schemas) -> str:
    """Return what is typed after a command, for example ``falsr-nas convert INPUT OUTPUT``."""
    settings = schemas.settings()
    words = []
    for key in schemas.words:
        name = key.lstrip("+").upper()
        one = settings.get(key)
        if one is not None and one.is_list:
            name = name.removesuffix("S") + "..."
        words.append(name if one is not None and one.default == "???" else f"[{name}]")
    return " ".join(["falsr-nas", command, *words])


class _Translation:
    """Collects options, overrides and words without a name."""

    def __init__(self, command: str, schemas: Schemas, *, sweeps: bool) -> None:
        self._command, self._schemas, self._sweeps = command, schemas, sweeps
        self._settings = schemas.settings()
        self._options: list[str] = []
        self._overrides: list[str] = []
        self._lists: dict[str, list[str]] = {}
        self._words: list[str] = []

    def take(self, word: str, rest: deque[str]) -> None:
        """Take a word, and what belongs to it from those that follow."""
        name, equals, value = word.partition("=")
        if equals and name in self._schemas.aliases:
            name = self._schemas.aliases[name]
            word = f"{name}={value}"
        if word == "--":
            self._words += rest
            rest.clear()
        elif name in (*_WITH_VALUE, *_INFO, *_ALONE):
            self._options.append(word)
            follows = name in _WITH_VALUE or (name in _INFO and rest and rest[0] in _INFO_VALUES)
            if follows and not equals and rest:
                self._options.append(rest.popleft())
        elif word.startswith("-") and word != "-":
            self._named(name, value if equals else None, rest)
        elif name == EXPERIMENT and experiments(self._command):
            raise UserError(f"experiments are added: give +{word}")
        elif self._is_override(word):
            self._overrides.append(f"{name}={self._value(name.lstrip('+'), value)}")
        elif word.startswith(("+", "~")) and not word.startswith("~/"):
            self._overrides.append(word)  # Hydra's deletion
        else:
            self._words.append(word)

    def arguments(self) -> Arguments:
        """Return the whole command line."""
        words = deque(self._words)
        named = {one.lstrip("+").partition("=")[0] for one in self._overrides}
        for key in self._schemas.words:
            setting = self._settings.get(key)
            if words and key.lstrip("+") in named:
                name = key.lstrip("+")
                raise UserError(
                    f"{name} is given by its name and as the word {words[0]!r}: give it once"
                )
            if setting is not None and setting.is_list and words:
                self._lists[key] = [*self._lists.get(key, ()), *words]
                words.clear()
            elif words:
                self._overrides.append(f"{key}={self._literal(words.popleft(), setting)}")
        if words:
            raise UserError(
                f"{words[0]!r} is one word too many: the command is"
                f" {usage(self._command, self._schemas)} [--NAME VALUE]..."
            )
        for key, values in self._lists.items():
            if key in named:
                raise UserError(f"{key} is given as --{key} and as {key}=...: give it in one way")
            self._overrides.append(f"{key}=[{','.join(map(quoted, values))}]")
        return Arguments(tuple(self._options), tuple(self._overrides))

    def _named(self, name: str, value: str | None, rest: deque[str]) -> None:
        key = self._schemas.output if name == "-o" else name.lstrip("-").replace("-", "_")
        key = self._schemas.aliases.get(key, key)
        setting = self._settings.get(key)
        if name == "-o" and setting is None:
            raise UserError(f"{self._command} has no output: redirect standard output (> FILE)")
        denied = self._settings.get(_positive(key))
        if setting is None and denied is not None and denied.is_flag and value is None:
            self._overrides.append(f"{_positive(key)}=false")
            return
        is_group = key.partition("/")[0] in self._schemas.groups
        is_experiment = key == EXPERIMENT and bool(experiments(self._command))
        if setting is None and not (is_group or is_experiment):
            raise UserError(no_setting(key, self._schemas, option=name))
        if value is None and setting is not None and setting.is_flag:
            value = rest.popleft() if rest and rest[0] in ("true", "false") else "true"
        if value is None:
            if not rest or rest[0].startswith("--"):
                raise UserError(f"{name} needs a value: give {name} VALUE")
            value = rest.popleft()
        adds = setting is not None and setting.is_list and setting.is_text
        if adds and value not in _UNTOUCHED and not (self._sweeps or _is_list(value)):
            self._lists.setdefault(key, []).extend(self._parts(key, value))
            return
        self._overrides.append(f"{'+' if is_experiment else ''}{key}={self._value(key, value)}")

    def _value(self, key: str, value: str) -> str:
        """Return a value as Hydra's grammar has it; of lists and in sweeps, ``~`` is quoted."""
        if self._sweeps or _is_list(value):
            return re.sub(r"(^|[\[,]\s*)(~[^],]*)", lambda at: at[1] + quoted(at[2]), value)
        setting = self._settings.get(key)
        if setting is None or value in _UNTOUCHED or value[:1] in ("'", '"'):
            return value
        if not setting.is_list:
            return quoted(value) if setting.is_text else value
        parts = self._parts(key, value)
        return f"[{','.join(map(quoted, parts) if setting.is_text else parts)}]"

    def _parts(self, key: str, value: str) -> list[str]:
        """Split a list at its commas; a name may have some where several words can be given."""
        return [value] if key in self._schemas.words else value.split(",")

    def _literal(self, word: str, setting: Described | None) -> str:
        if setting is not None:
            return quoted(word)
        known = [one.name for one in experiments(self._command)]
        if not self._sweeps and word not in known:
            raise UserError(
                f"there is no experiment {word!r}: {one_of(word, known)};"
                f" the folder of the results is given as -o {word}"
            )
        return word

    def _is_override(self, word: str) -> bool:
        """Whether it is a setting in Hydra's grammar; a file may have such a name, too."""
        match = _OVERRIDE.match(word)
        if match is None:
            return False
        key = match[1]
        root = re.split(r"[./@]", key, maxsplit=1)[0]
        if key in self._settings or root in (*self._schemas.groups, "hydra", EXPERIMENT):
            return True
        return "/" not in key and not exists(word)  # noqa: PTH110 - of any length


def no_setting(key: str, schemas: Schemas, option: str = "") -> str:
    """Say that there is no setting of this name, and what to type instead.

    Args:
        key: what was given as the name.
        schemas: of the command.
        option: how it was typed, if with dashes.
    """
    if owners := schemas.options_with(key):
        return f"{key} belongs to {' or '.join(owners)}: add {owners[0]}"
    nearest = schemas.nearest(key)
    wrong = f"there is no option {option}" if option else f"there is no setting {key!r}"
    if nearest is None:
        return f"{wrong}; see --help"
    return f"{wrong}: did you mean {_dashed(nearest) if option else repr(nearest)}?"


def one_of(typed: str, names: Iterable[str]) -> str:
    """Advise to choose one of the names, or the one that is most like what was typed."""
    names = list(names)
    if close := difflib.get_close_matches(typed, names, n=1):
        return f"did you mean {close[0]}?"
    return f"choose one of {', '.join(names)}"


def _dashed(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _positive(key: str) -> str:
    """Return the name of the setting that ``--no-NAME`` switches off."""
    return key.removeprefix("no_")


def _is_list(value: str) -> bool:
    return value.startswith("[") and value.endswith("]")


def quoted(text: str) -> str:
    """Return a text as a quoted string of Hydra's grammar."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", r"\'"), text)
    return f"'{escaped}'"
