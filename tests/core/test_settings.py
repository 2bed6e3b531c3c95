"""Every number of every setting is checked where it is declared, whatever class declares it."""

from __future__ import annotations

import math
import pkgutil
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module

import pytest

import falsr_nas
from falsr_nas.cli.config import Schemas
from falsr_nas.core.errors import UserError
from falsr_nas.core.settings import Settings
from test_imports import COMMANDS

NOT_FINITE = (math.nan, math.inf, -math.inf)


def inner_types(hint: object) -> Iterator[type]:
    """The classes in a type hint: ``float | None`` has float and NoneType."""
    if isinstance(hint, type) and not typing.get_args(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from inner_types(argument)


def with_nested(settings: type) -> Iterator[type]:
    yield settings
    for hint in typing.get_type_hints(settings).values():
        for kind in inner_types(hint):
            if is_dataclass(kind):
                yield from with_nested(kind)


def settings_classes() -> list[type]:
    """Every dataclass that a config can hold, found without a list.

    These are the commands' configs, the options of config groups, all that is nested in them, and
    what modules named ``settings`` define.
    """
    found: set[type] = set()
    packages = {"search": "search.config", "train": "train.config", "report": "report.__main__"}
    for command in sorted(COMMANDS):
        module = import_module(f"falsr_nas.{packages.get(command, command)}")
        configs = [
            one
            for name, one in vars(module).items()
            if name.endswith("Config") and one.__module__ == module.__name__
        ]
        assert len(configs) == 1, f"{module.__name__} should have one config"
        found |= set(with_nested(configs[0]))
        for schemas in vars(module).values():
            if isinstance(schemas, Schemas):
                for options in schemas.groups.values():
                    for option in options.values():
                        found |= set(with_nested(option))
    for about in pkgutil.walk_packages(falsr_nas.__path__, "falsr_nas."):
        if about.name.endswith(".settings"):
            module = import_module(about.name)
            found |= {
                one
                for name, one in vars(module).items()
                if is_dataclass(one)
                and one.__module__ == about.name
                and name.endswith(("Settings", "Policy", "Policies", "Constraints"))
            }
    return sorted(found, key=lambda one: one.__qualname__)


CLASSES = settings_classes()


def test_the_walk_finds_settings_of_every_kind() -> None:
    names = {one.__name__ for one in CLASSES}
    assert names >= {
        "SearchConfig", "UpscaleConfig", "ReportConfig", "SearchSpace", "Constraints",
        "PolicySettings", "RaySettings", "FailurePolicy", "Div2kSettings", "TrainerSettings",
    }  # fmt: skip


@pytest.mark.parametrize("settings", CLASSES, ids=lambda one: one.__name__)
def test_numbers_are_finite(settings: type) -> None:
    assert issubclass(settings, Settings)
    hints = typing.get_type_hints(settings)
    for field in fields(settings):
        kinds = set(inner_types(hints[field.name]))
        if not kinds & {int, float}:
            continue
        for number in NOT_FINITE:
            several = typing.get_origin(hints[field.name]) is tuple
            value = (number, number) if several else number
            with pytest.raises(UserError, match=rf"{field.name} is .*{number}.*: give a finite"):
                settings(**{field.name: value})


def test_a_class_cannot_forget_the_check() -> None:
    @dataclass(frozen=True)
    class Outer(Settings, group="outer"):
        rate: float = 1.0

        def __post_init__(self) -> None:
            """Check something else and call nothing of its base."""

    @dataclass(frozen=True)
    class Inner(Outer):
        rates: tuple[float, ...] = ()

        def __post_init__(self) -> None: ...

    for make in (
        lambda: Outer(math.nan),
        lambda: Inner(math.inf),
        lambda: Inner(rates=(math.nan,)),
    ):
        with pytest.raises(UserError, match=r"^outer\.rates? is "):
            make()
    assert Inner(2.0, (3.0,)).rates == (3.0,)
