"""The help of a command: usage, examples, and a line about each setting, option and experiment."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from falsr_nas.cli.arguments import usage
from falsr_nas.cli.config import Schemas, config_path, experiments, first_sentence
from falsr_nas.core.plugins import SETTING
from falsr_nas.core.settings import Described, describe_settings, plain_values

if TYPE_CHECKING:
    from omegaconf import DictConfig

MOST_COLUMNS = 100
"""Widest help. A narrower terminal has narrower lines."""

_WIDEST_VALUE = 14  # a longer default has a line of its own

Row = tuple[str, str, str]
"""Name, default and meaning."""


def print_help(command: str, schemas: Schemas, overrides: Sequence[str]) -> None:
    """Print the help of a command with the settings of the options that are chosen.

    Hydra's own help takes five times as long, because it composes every option of every group.

    Args:
        command: its name.
        schemas: its settings.
        overrides: what is chosen, for example ``controller=hybrid``.
    """
    import hydra

    with hydra.initialize_config_dir(config_path(), version_base="1.3"):
        config = hydra.compose(command, list(overrides), return_hydra_config=True)
    chosen = dict(config.hydra.runtime.choices)
    output = f" [-o {schemas.output.upper()}]" if schemas.output in schemas.settings() else ""
    print(f"Usage: {usage(command, schemas)}{output} [--NAME VALUE]...\n")
    print(config.hydra.help.header)
    if found := experiments(command):
        print("Experiments: a search or a training with all its settings (+experiment=NAME)")
        print(*_lines([(one.name, "", one.summary) for one in found]), sep="\n", end="\n\n")
    for group, options in schemas.choices().items():
        print(f"{group}=NAME, * is chosen")
        rows = [
            (("* " if one.name == chosen.get(group) else "  ") + one.name, "", one.summary)
            for one in options
        ]
        print(*_lines(rows), sep="\n", end="\n\n")
    for section, rows in _sections(config, chosen).items():
        print(section)
        print(*_lines(rows), sep="\n", end="\n\n")
    print(
        "Type a setting as --name VALUE or name=VALUE; true and false also as --name and --no-name."
    )


def _sections(config: DictConfig, chosen: Mapping[str, str]) -> dict[str, list[Row]]:
    """Return the settings in a composed config: its own, then those of each part of it."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, enum_to_str=True)
    sections: dict[str, list[Row]] = {"Settings, with their defaults": []}
    for key, setting, value in _described(config, values):
        part, dot, _ = key.partition(".")
        title = next(iter(sections))
        if dot:
            title = (
                f"Settings of {part}={chosen[part]}" if part in chosen else f"Settings of {part}"
            )
        sections.setdefault(title, []).append((key, _shown(value), _meaning(setting)))
    return sections


def _described(
    config: DictConfig, values: Any, prefix: str = ""
) -> Iterator[tuple[str, Described, Any]]:
    """Yield key, description and value of each setting of a config, nested ones last."""
    from omegaconf import DictConfig, OmegaConf

    nested: list[tuple[str, DictConfig]] = []
    described = describe_settings(OmegaConf.get_type(config))  # type: ignore[arg-type]
    for setting in sorted(described, key=lambda one: one.name == SETTING):  # plug-ins last
        node = config._get_node(setting.name)
        if isinstance(node, DictConfig) and isinstance(values[setting.name], Mapping):
            nested.append((setting.name, node))
        else:
            yield f"{prefix}{setting.name}", setting, values[setting.name]
    for name, node in nested:
        yield from _described(node, values[name], f"{prefix}{name}.")


def _shown(value: Any) -> str:
    """Return a value as it would be typed."""
    value = plain_values(value)
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if value == "???":
        return "required"
    return str(value) if value != "" else "''"


def _meaning(setting: Described) -> str:
    """Return the first sentence about a setting, and which values are allowed."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", first_sentence(setting.meaning))
    text = re.sub(r"\bNone\b", "null", text.replace("``", ""))
    allowed = setting.allowed
    if "null" in text:
        allowed = allowed.partition(", or null")[0]
    if not allowed or allowed in text:
        return text
    return f"{text} ({allowed})" if text else allowed


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield rows as aligned and wrapped columns."""
    rows = list(rows)
    names = max((len(name) for name, _, _ in rows), default=0)
    shown = [len(value) for _, value, _ in rows if len(value) <= _WIDEST_VALUE]
    values = max(shown, default=0)
    columns = min(MOST_COLUMNS, max(60, shutil.get_terminal_size((MOST_COLUMNS, 24)).columns))
    start = 2 + names + 2 + (values + 2 if values else 0)
    for name, value, text in rows:
        fits = len(value) <= values
        left = f"  {name:<{names}}  {value}"
        wrapped = textwrap.wrap(text, columns - start, break_on_hyphens=False) or [""]
        if fits:
            yield f"{left:<{start}}{wrapped[0]}".rstrip()
            wrapped = wrapped[1:]
        else:
            yield left
        yield from (" " * start + line for line in wrapped)
