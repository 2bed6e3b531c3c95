from __future__ import annotations

from dataclasses import dataclass

import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.core.registry import Registry


@dataclass(frozen=True)
class Settings:
    size: int = 1


def test_builds_by_the_type_of_the_settings() -> None:
    registry: Registry[Settings, tuple[int, str]] = Registry("thing")

    @registry.register("large", lambda settings, text: (settings.size, text))
    @dataclass(frozen=True)
    class Large(Settings):
        size: int = 5

    assert registry.build(Large(), "x") == (5, "x")
    assert dict(registry.schemas) == {"large": Large}
    assert registry.name_of(Large()) == "large"
    with pytest.raises(TypeError, match="no thing is registered for Settings"):
        registry.build(Settings(), "x")


def test_a_name_is_taken_once() -> None:
    registry: Registry[Settings, int] = Registry("thing")
    registry.register("one", lambda settings: 1)(Settings)
    with pytest.raises(ValueError, match="thing=one is registered already"):
        registry.register("one", lambda settings: 2)(Settings)


def test_a_factory_by_name_is_imported_when_it_is_used() -> None:
    registry: Registry[Settings, str] = Registry("thing")
    registry.register("text", "builtins:repr")(Settings)
    assert registry.build(Settings(3)) == repr(Settings(3))


def test_a_missing_library_of_an_extra_says_what_to_install() -> None:
    registry: Registry[Settings, int] = Registry("thing")
    registry.register("far", "no_such_library.module:make", extra="compare")(Settings)
    with pytest.raises(UserError, match=r"thing=far .*no_such_library.*falsr-nas\[compare\]"):
        registry.build(Settings())
