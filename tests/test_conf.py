"""Each setting is written once: a YAML file holds only what differs from its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from falsr_nas.cli.config import config_path, schema
from falsr_nas.core.settings import flatten
from falsr_nas.search.config import SCHEMAS as SEARCH
from falsr_nas.train.config import SCHEMAS as TRAIN
from test_imports import COMMANDS

CONF = Path(config_path())
FILES = sorted(path for path in CONF.rglob("*.yaml") if path != CONF / "command.yaml")
GROUPS = {**TRAIN.groups, **SEARCH.groups}


def command_schema(command: str) -> Any:
    packages = {"search": "search.config", "train": "train.config", "report": "report.__main__"}
    module = import_module(f"falsr_nas.{packages.get(command, command)}")
    return getattr(module, f"{command.title()}Config")


def schema_of(place: Path, name: str) -> Any:
    """The schema ``name_schema`` of a file in this folder."""
    return command_schema(name) if place == CONF else GROUPS[place.name][name]


def flat(settings: Any) -> dict[str, Any]:
    return flatten(OmegaConf.to_container(schema(settings), enum_to_str=True))


def own(path: Path) -> dict[str, Any]:
    """The values that the file itself gives, by dotted key."""
    content = OmegaConf.to_container(OmegaConf.load(path))
    return flatten({k: v for k, v in content.items() if k not in ("defaults", "hydra")})


def with_group(values: dict[str, Any], group: str, option: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if not key.startswith(f"{group}.")}
    return kept | {f"{group}.{key}": value for key, value in option.items()}


def below(path: Path) -> dict[str, Any]:
    """The values that hold where the file gives none: those of its schema and other defaults."""
    content = OmegaConf.to_container(OmegaConf.load(path))
    place, values = path.parent, {}
    if place == CONF / "experiment":
        values = composed(CONF / f"{'train' if path.stem.endswith('_train') else 'search'}.yaml")
    elif place.parent != CONF and place != CONF:  # of a group in a group, such as controller.reward
        holders = GROUPS[place.parent.name].values()
        found = (sub_settings(holder, place.name) for holder in holders)
        values = next(settings for settings in found if settings)
    for entry in content.get("defaults", []):
        if isinstance(entry, dict):
            ((group, option),) = entry.items()
            if not group.startswith("override hydra"):
                group = group.removeprefix("override /")
                start = CONF if place.name == "experiment" else place
                values = with_group(values, group, composed(start / group / f"{option}.yaml"))
        elif entry.endswith("_schema"):
            values |= flat(schema_of(place, entry.removesuffix("_schema")))
        elif entry not in ("_self_", "command"):
            values |= composed(place / f"{entry}.yaml")
    return values


def sub_settings(holder: Any, name: str) -> dict[str, Any]:
    """The settings of one field of an option; empty where it has no such field."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in flat(holder).items() if k.startswith(prefix)}


def composed(path: Path) -> dict[str, Any]:
    return below(path) | own(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_no_file_repeats_a_default(path: Path) -> None:
    defaults = below(path)
    for key, value in own(path).items():
        assert key in defaults, f"{path}: {key} is no setting"
        assert defaults[key] != value, f"{path}: {key} repeats the default, {value}: leave it out"


def test_a_repeated_default_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "CONF", tmp_path)
    (tmp_path / "training").mkdir()
    for text, repeats in (("epochs: 10", True), ("epochs: 11", False), ("decay: cosine", True)):
        file = tmp_path / "training" / "mine.yaml"
        file.write_text(f"defaults:\n  - training_schema\n\n{text}\n")
        if not repeats:
            test_no_file_repeats_a_default(file)
            continue
        with pytest.raises(AssertionError, match=r"mine\.yaml: \w+ repeats the default"):
            test_no_file_repeats_a_default(file)


def test_every_command_shares_the_hydra_block() -> None:
    for command in COMMANDS:
        content = OmegaConf.load(CONF / f"{command}.yaml")
        assert "command" in content.defaults
        assert set(content.hydra) <= ({"run", "sweep", "help"} if command == "search" else {"help"})
