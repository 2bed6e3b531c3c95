"""How a command's config was composed, kept with its results so that it can be run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falsr_nas.cli.config import settings_as_yaml
from falsr_nas.core.errors import UserError

OVERRIDES = "overrides.yaml"
"""Name of the file, in the folder of a run, with the settings as they were typed."""


@dataclass(frozen=True)
class Composition:
    """What Hydra composed a config from.

    Attributes:
        options: the chosen option of each config group and of groups in them, such as
            ``{"controller": "nsga2", "execution/failures": "default"}``.
        overrides: the settings as they were typed, such as ``+experiment=demo``; those of one job
            in a sweep.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    overrides: Sequence[str] = ()


def composition(groups: Mapping[str, Any]) -> Composition:
    """Return what Hydra composed the config of the running job from.

    Args:
        groups: the command's config groups; experiments and Hydra's own are left out.
    """
    from hydra.core.hydra_config import HydraConfig

    config = HydraConfig.get()
    chosen = {str(group): option for group, option in config.runtime.choices.items()}
    options = {
        group: str(option) for group, option in chosen.items() if group.split("/")[0] in groups
    }
    return Composition(options, tuple(config.overrides.task))


def config_file(command: str, settings: Any, options: Mapping[str, str], again: str) -> str:
    """Return the text of a config file that composes to these settings, whatever the defaults are.

    Args:
        command: name of the command, whose config file it extends.
        settings: all settings, a dataclass.
        options: the option of each config group.
        again: the command that runs the file, for its header.
    """
    from omegaconf import OmegaConf

    chosen = [{f"override {group}": option} for group, option in options.items()]
    defaults = OmegaConf.to_yaml({"defaults": [command, *chosen, "_self_"]})
    return f"# All settings of this run. To run it again:\n#   {again}\n{defaults}\n" + (
        settings_as_yaml(settings)
    )


def overrides_file(overrides: Sequence[str]) -> str:
    """Return the text of :data:`OVERRIDES`: a list in YAML, as Hydra writes it."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(list(overrides))


def read_overrides(folder: Path) -> list[str]:
    """Return the settings that were typed for the run in a folder; empty where none are kept.

    Raises:
        UserError: the file is not what :func:`overrides_file` writes.
    """
    path = folder / OVERRIDES
    if not path.exists():
        return []
    from omegaconf import ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    with suppress(OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException):
        if isinstance(typed := OmegaConf.load(path), ListConfig):
            return [str(override) for override in typed]
    raise UserError(f"{path} is not a list of settings: delete it, it is only for names")


def again_command(command: str, folder: Path, plugins: Sequence[str]) -> str:
    """Return the command that runs the ``config.yaml`` of a folder again, into another folder."""
    needed = ["--plugins", ",".join(plugins)] if plugins else []  # needs no quotes for Hydra
    where = ["--config-dir", str(folder), "--config-name", "config"]
    typed = ["python", "-m", f"falsr_nas.{command}", *where, *needed, f"run_dir={folder}-again"]
    return shlex.join(typed)
