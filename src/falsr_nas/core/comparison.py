"""Comparison of the settings of a stored search or training with today's command."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from falsr_nas.core.settings import at_home

OPTION_GROUPS = ("controller", "evaluator", "data")
"""Config groups of which the name of the option is stored under the name of the group."""

MAX_SHOWN = 5
"""How many differences are named."""


def differences(
    stored: Mapping[str, Any], current: Mapping[str, Any], ignored: Collection[str] = ()
) -> str:
    """Describe how settings differ; an empty text if they do not.

    Where the option of a group differs, its own settings are not compared.

    Args:
        stored: settings by dotted names; JSON values.
        current: today's settings; JSON values.
        ignored: names that are not compared.
    """
    # Earlier versions stored paths as they were typed. An empty list is as good as a setting that
    # another version does not have.
    before, now = (
        {k: at_home(v) for k, v in one.items() if v != [] and k not in ignored}
        for one in (stored, current)
    )
    names = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    other = [group for group in OPTION_GROUPS if group in names]
    shown = [
        f"{group} is {stored.get(group)} there and {current.get(group)} here" for group in other
    ]
    shown += [
        _plugin_difference(name.removeprefix("plugins."), stored.get(name), current.get(name))
        if name.startswith("plugins.")
        else f"{name} is {stored.get(name)!r} there and {current.get(name)!r} here"
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
