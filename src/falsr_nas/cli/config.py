"""Frozen dataclasses as Hydra schemas, so that a typo in a config is an error that names it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from falsr_nas.core import plugins

if TYPE_CHECKING:
    from omegaconf import DictConfig


def config_path() -> str:
    """Return where the configs are: in the installed package, or the checkout's ``conf/``."""
    package, checkout = Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[3]
    return str(next(place / "conf" for place in (package, checkout) if (place / "conf").is_dir()))


def options_of_groups(groups: Mapping[str, Iterable[str]]) -> str:
    """List the options of config groups and their subgroups for ``--help``, one group per line."""
    folder, lines = Path(config_path()), []
    for group in sorted(groups):
        for place in sorted(
            [folder / group, *(p for p in (folder / group).iterdir() if p.is_dir())]
        ):
            own = [path.stem for path in place.glob("*.yaml")]
            others = [name for name in groups[group] if plugins.owner(place.name, name)]
            options = " | ".join([*sorted(own), *sorted(others)])
            lines.append(f"{place.relative_to(folder)}: {options}")
    return "\n".join(lines)


def experiments(command: str) -> str:
    """List the experiments of search or train for ``--help``; those of train end in ``_train``."""
    if command not in ("search", "train"):
        return ""
    names = sorted(path.stem for path in Path(config_path(), "experiment").glob("*.yaml"))
    return ", ".join(name for name in names if name.endswith("_train") == (command == "train"))


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
    """The schemas of a command and of the options of its config groups.

    Attributes:
        command: the dataclass of the whole config.
        groups: for each config group the dataclass of each option, for example
            ``{"controller": {"nsga2": NSGA2Settings}}``, or an instance that has other defaults.
            The YAML file of an option lists ``<option>_schema`` first in its defaults, and holds
            only what differs from them.
    """

    command: type[Any]
    groups: Mapping[str, Mapping[str, Any]]

    def register(self, name: str) -> None:
        """Register the schemas with Hydra, the command's as ``<name>_schema``."""
        from hydra.core.config_store import ConfigStore

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

    def keys(self) -> set[str]:
        """Return every dotted key that any option has."""
        from omegaconf import OmegaConf

        parts = [(self.command, "")]
        for group, options in self.groups.items():
            parts += [(settings, f"{group}.") for settings in options.values()]
        return {
            key
            for settings, prefix in parts
            for key, _ in _nodes(OmegaConf.structured(settings), prefix)
        }

    def nearest(self, key: str) -> str | None:
        """Return the most similar valid key: by spelling, or by its last part."""
        keys = self.keys()
        if close := difflib.get_close_matches(key, sorted(keys), n=1, cutoff=0.6):
            return close[0]
        last = {valid.rpartition(".")[2]: valid for valid in sorted(keys, reverse=True)}
        close = difflib.get_close_matches(key.rpartition(".")[2], sorted(last), n=1, cutoff=0.7)
        return last[close[0]] if close else None


def settings_as_yaml(settings: Any) -> str:
    """Return settings as the text of a config file."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(settings))
