"""Frozen dataclasses as Hydra schemas, so that a typo in a config is an error that names it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from inspect import cleandoc
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from falsr_nas.core import plugins
from falsr_nas.core.settings import Described, at_home, describe_settings

if TYPE_CHECKING:
    from omegaconf import DictConfig


def config_path() -> str:
    """Return where the configs are: in the installed package, or the checkout's ``conf/``."""
    package, checkout = Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[3]
    return str(next(place / "conf" for place in (package, checkout) if (place / "conf").is_dir()))


@dataclass(frozen=True)
class Choice:
    """An option of a config group, or an experiment.

    Attributes:
        name: what is typed, e.g. ``nsga2`` in ``controller=nsga2``.
        summary: what it is, in one sentence; empty where nothing says it.
    """

    name: str
    summary: str


def experiments(command: str) -> tuple[Choice, ...]:
    """Return the experiments of search or train; those of train end in ``_train``."""
    if command not in ("search", "train"):
        return ()
    found = _choices_in(Path(config_path(), "experiment"))
    return tuple(one for one in found if one.name.endswith("_train") == (command == "train"))


def first_sentence(text: str) -> str:
    """Return the first sentence of a text on one line, without its full stop."""
    return re.split(r"(?<!e\.g)(?<!i\.e)\.\s+", " ".join(text.split()), maxsplit=1)[0].rstrip(".")


def _summary(settings: type[Any]) -> str:
    """Return the first sentence of the docstring of a class, if somebody wrote one."""
    text = cleandoc(settings.__doc__ or "")
    written = not text.startswith(f"{settings.__name__}(")  # dataclasses write one themselves
    return first_sentence(text) if written else ""


def _choices_in(folder: Path) -> list[Choice]:
    """Return the options that have a file in a folder, with the comments at their tops."""
    return [
        Choice(path.stem, first_sentence(_comment(path.read_text(encoding="utf-8"))))
        for path in sorted(folder.glob("*.yaml"))
    ]


def _comment(content: str) -> str:
    """Return the comment at the top of a config file, without examples and Hydra's directives."""
    lines = list(takewhile(lambda line: line.startswith("#"), content.splitlines()))
    return "\n".join(line[1:] for line in lines if not line.startswith(("# @", "#  ")))


def schema(settings: Any) -> DictConfig:
    """Return the schema of a settings dataclass, with its defaults or those of an instance.

    Frozen dataclasses make read-only configs, which cannot be composed; the flag is removed.
    """
    from omegaconf import OmegaConf

    node = OmegaConf.structured(settings)
    for part in (node, *(child for _, child in _nodes(node))):
        if OmegaConf.is_config(part):
            part._set_flag("readonly", None)
    return node  # type: ignore[no-any-return]


def unknown_keys(config: DictConfig) -> list[str]:
    """Return dotted keys that were added to a config with ``+`` or ``++`` and are in no schema."""
    from omegaconf import OmegaConf

    def is_known(node: Any) -> bool:
        kind = OmegaConf.get_type(node._get_parent())
        return not is_dataclass(kind) or node._key() in {field.name for field in fields(kind)}

    return [key for key, node in _nodes(config) if not is_known(node)]


def _nodes(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the node of each value in a config, also in nested configs."""
    from omegaconf import DictConfig

    for key in map(str, config):
        node = config._get_node(key)
        yield f"{prefix}{key}", node
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from _nodes(node, f"{prefix}{key}.")


@dataclass(frozen=True)
class Schemas:
    """The schemas of a command and of the options of its config groups, and how they are typed.

    Attributes:
        command: the dataclass of the whole config.
        groups: for each config group the dataclass of each option, for example
            ``{"controller": {"nsga2": NSGA2Settings}}``, or an instance that has other defaults.
            The YAML file of an option lists ``<option>_schema`` first in its defaults, and holds
            only what differs from them.
        words: the settings that words without a name are for, in this order; the last one takes
            all further words if it is a list. ``+experiment`` stands for an experiment.
        output: the setting that is typed as ``-o``.
        aliases: settings by another name that may be typed: Hydra takes the names of config groups
            for groups, even of commands that do not have them.
    """

    command: type[Any]
    groups: Mapping[str, Mapping[str, Any]]
    words: tuple[str, ...] = ()
    output: str = "output"
    aliases: Mapping[str, str] = field(default_factory=dict)

    def register(self, name: str) -> None:
        """Register the schemas with Hydra, the command's as ``<name>_schema``."""
        from hydra.core.config_store import ConfigStore
        from omegaconf import OmegaConf

        OmegaConf.register_new_resolver("home", at_home, replace=True)  # of the run's own folder
        store = ConfigStore.instance()
        node = schema(self.command)
        # A group begins as its base type: the chosen option's schema brings the rest.
        types = get_type_hints(self.command)
        for group in self.groups:
            node[group] = schema(types[group])
        store.store(name=f"{name}_schema", node=node)
        for group, options in self.groups.items():
            for option, settings in options.items():
                store.store(group=group, name=f"{option}_schema", node=schema(settings))
                if plugins.owner(group, option):  # it has no YAML file
                    store.store(group=group, name=option, node=schema(settings))

    def settings(self) -> dict[str, Described]:
        """Return every setting that any option has, by its dotted key."""
        found = _flat(self.command)
        for _, _, settings in self._parts():
            found |= settings
        return found

    def choices(self) -> dict[str, list[Choice]]:
        """Return the options of each config group, and of groups in groups as ``group/name``."""
        folder, found = Path(config_path()), {}
        for group in sorted(self.groups):
            below = sorted(path for path in (folder / group).iterdir() if path.is_dir())
            for place in (folder / group, *below):
                others = [
                    Choice(name, _summary(settings))
                    for name, settings in self.groups[group].items()
                    if plugins.owner(place.name, name)
                ]
                found[str(place.relative_to(folder))] = _choices_in(place) + others
        return found

    def options_with(self, key: str) -> list[str]:
        """Return the options that have a setting, e.g. ``data=folder``; none where it is not one.

        Settings of the command itself belong to no option.
        """
        return [f"{group}={option}" for group, option, settings in self._parts() if key in settings]

    def nearest(self, key: str) -> str | None:
        """Return the most similar valid key: by spelling, by its last part, or by its initials."""

        def rank(valid: str) -> tuple[int, bool, str]:
            (
                group,
                *_,
            ) = valid.split(".")
            return valid.count("."), group not in self.groups, valid

        keys = sorted([*self.settings(), *self.groups], key=rank)
        last = {valid.rpartition(".")[2]: valid for valid in reversed(keys)}
        typed = key.rpartition(".")[2]
        if typed in last:
            return last[typed]
        if close := difflib.get_close_matches(key, keys, n=1, cutoff=0.6):
            return close[0]
        if close := difflib.get_close_matches(typed, list(last), n=1, cutoff=0.7):
            return last[close[0]]
        initials = {"".join(part[0] for part in name.split("_")): name for name in last}
        return last[initials[typed]] if typed in initials else None

    def _parts(self) -> Iterator[tuple[str, str, dict[str, Described]]]:
        """Yield each option's group, name and settings."""
        for group, options in self.groups.items():
            for option, settings in options.items():
                kind = settings if isinstance(settings, type) else type(settings)
                yield group, option, _flat(kind, f"{group}.")


def _flat(kind: type[Any], prefix: str = "") -> dict[str, Described]:
    """Return what is to be said about the settings of a dataclass, by dotted key."""
    found: dict[str, Described] = {}
    for setting in describe_settings(kind):
        key = prefix + setting.name
        if is_dataclass(setting.default):
            found |= _flat(type(setting.default), f"{key}.")
        else:
            found[key] = setting
    return found


def settings_as_yaml(settings: Any) -> str:
    """Return settings as the text of a config file."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(settings))
