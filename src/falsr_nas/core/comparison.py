"""Comparison of the settings of a stored search or training with today's command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from falsr_nas.cli.renamed import brought_up_to_date

OPTION_GROUPS = ("controller", "evaluator", "data")
"""Config groups of which the name of the option is stored under the name of the group."""

MAX_SHOWN = 5
"""How many differences are named."""


def differences(stored: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Describe how settings differ; an empty text if they do not.

    Where the option of a group differs, its own settings are not compared.

    Args:
        stored: settings by dotted names, perhaps of an earlier version; JSON values.
        current: today's settings; JSON values.
    """
    found = _with_options(brought_up_to_date(stored, current), current)
    names = {name for name in {*found, *current} if found.get(name) != current.get(name)}
    other = [group for group in OPTION_GROUPS if group in names]
    shown = [
        f"{group} is {found.get(group)} there and {current.get(group)} here" for group in other
    ]
    shown += [
        _plugin_difference(name.removeprefix("plugins."), found.get(name), current.get(name))
        if name.startswith("plugins.")
        else f"{name} is {found.get(name)!r} there and {current.get(name)!r} here"
        for name in sorted(names)
        if name.partition(".")[0] not in other
    ]
    more = f", and {len(shown) - MAX_SHOWN} more" if len(shown) > MAX_SHOWN else ""
    return "; ".join(shown[:MAX_SHOWN]) + more


def _plugin_difference(name: str, there: str | None, here: str | None) -> str:
    """Describe how a plug-in differs, by its SHA-256; None where it is not used."""
    if here is None:
        return f"the plug-in {name} is missing here (plugins=[...])"
    if there is None:
        return f"the plug-in {name} is not used there"
    return f"the plug-in {name} has changed ({there[:12]} there, {here[:12]} here)"


def _with_options(stored: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Add the names of the options, which version 0.1 did not store.

    An option is recognised by the names of its settings.
    """
    missing = [group for group in OPTION_GROUPS if group in current and group not in stored]
    return dict(stored) | {
        group: current[group]
        if _settings(stored, group) == _settings(current, group)
        else "another"
        for group in missing
    }


def _settings(settings: Mapping[str, Any], group: str) -> set[str]:
    return {name for name in settings if name.startswith(f"{group}.")}
