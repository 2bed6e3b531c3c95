"""Single objectives: their names, their registry and their numbers over a space."""

from dataclasses import replace

import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.objectives.bounds import value_range
from falsr_nas.objectives.objective import (
    MULT_ADDS,
    PSNR,
    ObjectiveRegistry,
    check_names,
)
from falsr_nas.space.search_space import SearchSpace
from made_problem import LINKS


def test_names_are_checked_and_psnr_comes_first() -> None:
    assert check_names(["latency", "psnr"]) == ("psnr", "latency")
    assert check_names(["psnr"]) == ("psnr",)
    for names, message in (
        ([], "psnr must be one of them"),
        (["latency"], "psnr must be one of them"),
        (["psnr", "latency", "latency"], "each can be given once"),
        (["psnr", "flops"], "there is no 'flops': choose of psnr, mult_adds, params, latency"),
    ):
        with pytest.raises(UserError, match=message):
            check_names(names)


def test_a_plug_in_registers_an_objective() -> None:
    registry = ObjectiveRegistry((PSNR, MULT_ADDS))
    assert registry.register(LINKS) is registry["links"]
    assert list(registry) == ["psnr", "mult_adds", "links"]
    with pytest.raises(ValueError, match="registered already"):
        registry.register(replace(LINKS))


def test_numbers_that_have_no_logarithm_are_refused() -> None:
    space = SearchSpace(n=3)
    with pytest.raises(UserError, match="objective links must be positive and finite: 0"):
        value_range(replace(LINKS, logarithmic=True), space)
    with pytest.raises(UserError, match="must be finite"):
        value_range(replace(LINKS, measure=lambda *_: float("nan")), space)
