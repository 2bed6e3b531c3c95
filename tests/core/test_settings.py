"""Every number of every setting is checked where it is declared, whatever class declares it."""

from __future__ import annotations

import math
import pathlib
import pkgutil
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module

import pytest

import falsr_nas
from falsr_nas.cli.config import Schemas
from falsr_nas.core.errors import UserError
from falsr_nas.core.settings import (
    OF_HOLDER,
    Settings,
    at_least,
    between,
    bounded,
    describe_settings,
    one_of,
    path,
    path_settings,
    positive,
    probability,
)
from falsr_nas.evaluation.settings import IncompleteTrainingSettings
from falsr_nas.execution.settings import FailurePolicies, FailurePolicy
from falsr_nas.training.settings import Decay, TrainingSettings
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
                        kind = option if isinstance(option, type) else type(option)
                        found |= set(with_nested(kind))
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
        "PolicySettings", "PhotoDegradation", "FailurePolicy", "Div2kSettings", "TrainerSettings",
    }  # fmt: skip


def checked(settings: type, name: str, value: object) -> None:
    """Make settings; those without a place of their own are checked with what holds them."""
    made = settings(**{name: value})
    if settings._group == OF_HOLDER:
        assert settings is FailurePolicy
        FailurePolicies(bug=made)


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
                checked(settings, field.name, value)


PLACES = re.compile(r"\b(files?|folders?|path|paths|images, folders|HTML page)\b")
NO_PLACES = {"format", "select", "cpu", "group", "tags", "entity", "project", "mode", "on_error"}


@pytest.mark.parametrize("settings", CLASSES, ids=lambda one: one.__name__)
def test_every_setting_that_names_a_place_is_a_path(settings: type) -> None:
    texts = [one for one in describe_settings(settings) if one.is_text and not one.choices]
    places = {one.name for one in texts if PLACES.search(one.meaning)} - NO_PLACES
    assert places <= set(path_settings(settings))


def test_a_path_may_begin_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Places(Settings, group="places"):
        one: str = path(default="~/one")
        several: tuple[str, ...] = path(default=())
        none: str | None = path(default=None)
        text: str = "~"

    class Derived(Places):
        one: str = "~"  # only another default

    monkeypatch.setenv("HOME", "/home/me")
    made = Places(several=["~/a", "b/~", "~no-such-user/c", "~$o.jpg"])
    assert (made.one, made.none, made.text) == ("/home/me/one", None, "~")
    assert made.several == ("/home/me/a", "b/~", "~no-such-user/c", "~$o.jpg")
    assert Derived(one=pathlib.Path("~/x/")).one == "/home/me/x"
    assert Places(one="~/x/").one == "/home/me/x/"


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


@dataclass(frozen=True)
class Example(Settings, group="example"):
    """Settings with every kind of bound.

    Attributes:
        count: how many there are.
        side: of a square, over
            two lines.
    """

    count: int = at_least(1, unit="MiB", default=4)
    side: int = bounded(lambda side: side % 2 == 0, "even", default=2)
    seconds: float | None = positive(unit="seconds", default=None, null="no limit")
    rate: float = positive(default=1.0)
    rates: tuple[float, ...] = between(0, 1, excluded=(1,), default=(0.5,))
    chance: float | None = probability(default=None)
    color: str = one_of(("red", "blue"), default="red")
    decay: Decay = Decay.linear


@dataclass(frozen=True)
class Heir(Example):
    """With another default.

    Attributes:
        rate: has another meaning.
    """

    rate: float = 2.0

    def __post_init__(self) -> None:
        assert self.rate > 0, "bounds are checked before"
        assert isinstance(self.rates, tuple), "lists are tuples before"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"count": 0}, "example.count is 0: it must be at least 1 MiB"),
        ({"count": None}, "example.count is null: it must be at least 1 MiB"),
        ({"side": 3}, "example.side is 3: it must be even"),
        (
            {"seconds": 0},
            "example.seconds is 0: give a positive number of seconds, or null for no limit",
        ),
        ({"rate": -1.0}, "example.rate is -1.0: it must be positive"),
        ({"rates": [0.5, 1]}, "example.rates is [0.5, 1]: each must be in 0..1, 1 excluded"),
        ({"chance": 1.5}, "example.chance is 1.5: a probability is in 0..1, or null"),
        ({"color": "green"}, "example.color is 'green': choose one of red, blue"),
        ({"color": ""}, "example.color is empty: choose one of red, blue"),
        ({"decay": "steep"}, "example.decay is steep: choose one of constant, linear, cosine"),
    ],
)
@pytest.mark.parametrize("settings", [Example, Heir])
def test_an_error_names_setting_value_and_bound(settings: type, given: dict, says: str) -> None:
    with pytest.raises(UserError) as error:
        settings(**given)
    assert str(error.value) == says


def test_lists_become_tuples_and_names_members() -> None:
    made = Example(rates=[0, 0.5], decay="cosine", seconds=None)  # type: ignore[arg-type]
    assert made.rates == (0, 0.5)
    assert made.decay is Decay.cosine
    assert Heir().rate == 2.0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: FailurePolicies(bug=FailurePolicy(retries=-1)),
            "execution.failures.bug.retries is -1: it must be at least 0",
        ),
        (
            lambda: FailurePolicies(timeout=FailurePolicy(in_a_row=0)),
            "execution.failures.timeout.in_a_row is 0: it must be at least 1, or null for any",
        ),
        (lambda: TrainingSettings(betas=(0.9,)), "training.betas is [0.9]: give two numbers"),  # type: ignore[arg-type]
        (lambda: TrainingSettings(patch_size=3), "training.patch_size is 3: it must be at least 4"),
        (
            lambda: IncompleteTrainingSettings(threads=0),
            "evaluator.threads is 0: it must be at least 1, or null for all",
        ),
    ],
)
def test_settings_of_commands_name_their_place(make, says: str) -> None:
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value).startswith(says)


def test_settings_are_described() -> None:
    told = {one.name: one for one in describe_settings(Heir)}
    assert list(told) == [one.name for one in fields(Heir)]
    assert told["side"].meaning == "of a square, over two lines."
    assert (told["rate"].meaning, told["rate"].default) == ("has another meaning.", 2.0)
    assert told["rate"].allowed == "positive"
    assert (told["count"].kind, told["count"].allowed) == ("int", "at least 1 MiB")
    assert told["seconds"].allowed == "a positive number of seconds, or null for no limit"
    assert told["color"].allowed == "one of red, blue"
    assert told["decay"].allowed == "one of constant, linear, cosine"


@pytest.mark.parametrize("settings", CLASSES, ids=lambda one: one.__name__)
def test_every_setting_has_a_meaning(settings: type) -> None:
    assert not [one.name for one in describe_settings(settings) if not one.meaning]
