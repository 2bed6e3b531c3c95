"""Tests that every controller must pass."""

import importlib.util
import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Score
from falsr_nas.archive.store import Store
from falsr_nas.controller.controller import Controller
from falsr_nas.controller.settings import (
    CONTROLLERS,
    ControllerSettings,
    Crossover,
    ExplorationSettings,
    HybridSettings,
    NSGA2Settings,
    RandomSettings,
    ScreeningSettings,
)
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.settings import InlineSettings
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.search.loop import run_search
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.enumeration import affordable_genomes
from falsr_nas.space.search_space import SearchSpace

pytestmark = pytest.mark.usefixtures("controllers_of_plugins")

PAPER = SearchSpace()
TINY = SearchSpace(
    n=1, operators=("conv",), channels=(4, 8), kernels=(1, 3), repeats=(1, 2), stems=(8,)
)
WITH_ENDS = SearchSpace(stems=(8, 12, 32), upsamplers=("paper", "subpixel"))
ENDS = SearchSpace(
    n=1,
    operators=("conv",),
    channels=(4, 8),
    kernels=(3,),
    residuals=(False,),
    repeats=(1, 2),
    stems=(4, 6),
    upsamplers=("paper", "subpixel"),
)
CHAINS = SearchSpace(
    n=2,
    operators=("conv", "empty"),
    channels=(4, 8),
    kernels=(3,),
    residuals=(False,),
    repeats=(1,),
    stems=(4, 8),
    upsamplers=("subpixel", "skipsubpixel"),
    links=False,
)
DEEPER_CHAINS = replace(CHAINS, n=12, channels=(4, 8, 16), repeats=(1, 2))
EVALUATOR = SyntheticEvaluator(SyntheticSettings(), seed=3)

needs = {
    name: pytest.mark.skipif(
        importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
    )
    for name in ("pymoo", "optuna")
}
MakeSettings = Callable[..., ControllerSettings]


def of_plugin(name: str, **chosen: object) -> MakeSettings:
    """What makes the settings of a plug-in's controller, once the plug-in is loaded."""
    return lambda **others: CONTROLLERS.schemas[name](**chosen, **others)


EXACT = [
    pytest.param(HybridSettings, id="hybrid"),
    pytest.param(NSGA2Settings, id="nsga2"),
    pytest.param(partial(NSGA2Settings, crossover=Crossover.paper), id="nsga2-paper-crossover"),
    pytest.param(ScreeningSettings, id="screening"),
    pytest.param(
        partial(NSGA2Settings, exploration=ExplorationSettings(p_attribute=0.5)),
        id="nsga2-attribute",
    ),
    pytest.param(partial(HybridSettings, screening=3), id="hybrid-screening"),
    pytest.param(of_plugin("pymoo", screening=3), id="pymoo-screening", marks=needs["pymoo"]),
    pytest.param(of_plugin("aging"), id="aging"),
    pytest.param(of_plugin("aging", screening=3), id="aging-screening"),
    pytest.param(RandomSettings, id="random"),
    pytest.param(of_plugin("pymoo"), id="pymoo", marks=needs["pymoo"]),
]
INEXACT = [pytest.param(of_plugin("optuna"), id="optuna", marks=needs["optuna"])]
"""The state of Optuna's generators cannot be saved, so a restored search draws differently."""
# Slow: TPE fits its model at each proposal.
TPE = pytest.param(
    of_plugin("optuna", sampler="tpe"), id="tpe", marks=[needs["optuna"], pytest.mark.slow]
)
ALL = [*EXACT, *INEXACT, TPE]


def made(
    kind: MakeSettings,
    population_size: int = 8,
    seed: int = 0,
    space: SearchSpace = PAPER,
    **constraints: float,
) -> Controller:
    return CONTROLLERS.build(
        kind(population_size=population_size),
        Problem(space, constraints=Constraints(**constraints)),
        np.random.default_rng(seed),
    )


def evaluate(candidates: list[Candidate], failing: int = 0) -> list[Evaluation]:
    """Evaluations, of which every ``failing``-th failed."""
    return [
        Evaluation(
            one,
            Failure(FailureKind.DIVERGED, "nan")
            if failing and one.number % failing == 0
            else EVALUATOR.evaluate(one),
        )
        for one in candidates
    ]


@pytest.mark.parametrize("kind", ALL)
def test_candidates_are_new_affordable_numbered_and_have_an_origin(
    kind: MakeSettings,
) -> None:
    search, known = made(kind, max_mult_adds=60, min_psnr=29), set()
    for generation in range(8):
        candidates = search.ask(8)
        assert [one.number for one in candidates] == list(range(8 * generation, 8 * generation + 8))
        for one in candidates:
            assert one.generation == generation
            assert one.key not in known
            assert one.genome in PAPER
            assert one.genome == one.genome.canonical()
            assert one.cost == genome_cost(one.genome)
            assert one.cost.mult_adds <= 60e9
            assert one.origin.operators
            assert set(one.origin.parents) <= known
            known.add(one.key)
        search.tell(evaluate(candidates, failing=5))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("limit", [None, 0.5])
@pytest.mark.parametrize(
    "space", [TINY, ENDS, CHAINS], ids=["one pair of ends", "several", "chains"]
)
def test_a_tiny_space_is_exhausted(
    kind: MakeSettings, count: int, limit: float | None, space: SearchSpace
) -> None:
    wanted = {
        genome.key for genome in affordable_genomes(space, None if limit is None else limit * 1e9)
    }
    search, found = (
        made(kind, 4, space=space, **({} if limit is None else {"max_mult_adds": limit})),
        [],
    )
    while candidates := search.ask(count):
        found += [one.key for one in candidates]
        search.tell(evaluate(candidates))
    assert len(found) == len(wanted)
    assert set(found) == wanted
    assert search.ask(3) == []


@pytest.mark.parametrize("kind", ALL)
def test_a_search_continues_after_generations_of_failures(kind: MakeSettings) -> None:
    search, keys = made(kind), set()
    for _ in range(3):
        candidates = search.ask(8)
        assert len(candidates) == 8
        keys |= {one.key for one in candidates}
        search.tell(evaluate(candidates, failing=1))
    assert len(keys) == 24
    search.tell(evaluate(search.ask(8)))
    assert len(search.ask(8)) == 8


@pytest.mark.parametrize("kind", ALL)
def test_the_seed_determines_the_candidates(
    kind: MakeSettings,
) -> None:
    def keys(seed: int) -> list[str]:
        search, found = made(kind, seed=seed), []
        for _ in range(4):
            candidates = search.ask(8)
            search.tell(evaluate(candidates))
            found += [one.key for one in candidates]
        return found

    first = keys(1)
    assert first == keys(1)
    assert len(set(first) & set(keys(2))) < 24


@pytest.mark.parametrize("kind", ALL)
def test_several_in_flight_are_told_in_any_order(kind: MakeSettings) -> None:
    rng, search = np.random.default_rng(5), made(kind)
    in_flight, keys = search.ask(3), []
    for _ in range(40):
        ended = in_flight.pop(int(rng.integers(len(in_flight))))
        keys.append(ended.key)
        search.tell(evaluate([ended], failing=7))
        in_flight += search.ask(1)
    assert len(set(keys) | {one.key for one in in_flight}) == 43


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("in_flight", [0, 3])
@pytest.mark.parametrize(
    "space", [PAPER, WITH_ENDS, DEEPER_CHAINS], ids=["one pair of ends", "several", "chains"]
)
def test_a_restored_controller_continues_as_the_saved_one(
    kind: MakeSettings, in_flight: int, space: SearchSpace
) -> None:
    saved, told = made(kind, space=space, max_mult_adds=80), []
    for _ in range(12):
        told += evaluate(saved.ask(8), failing=6)
        saved.tell(told[-8:])
    pending = saved.ask(in_flight)
    state = json.loads(json.dumps(saved.state()))
    restored = made(kind, seed=99, space=space, max_mult_adds=80)
    restored.restore(state, told, pending)
    if pending:
        for search in (saved, restored):
            search.tell(evaluate(pending))
    for _ in range(5):
        candidates = saved.ask(8)
        assert restored.ask(8) == candidates
        for search in (saved, restored):
            search.tell(evaluate(candidates))
    assert json.dumps(restored.state()) == json.dumps(saved.state())


@pytest.mark.parametrize("kind", INEXACT)
def test_a_controller_that_cannot_restore_exactly_still_knows_all_evaluations(
    kind: MakeSettings,
) -> None:
    saved, told = made(kind), []
    for _ in range(5):
        told += evaluate(saved.ask(8), failing=6)
        saved.tell(told[-8:])
    pending = saved.ask(3)
    restored = made(kind, seed=99)
    restored.restore(json.loads(json.dumps(saved.state())), told, pending)
    restored.tell(evaluate(pending))
    candidates = restored.ask(20)
    assert [one.number for one in candidates] == list(range(43, 63))
    assert not {one.key for one in candidates} & {one.key for one in (*told, *pending)}
    # The candidates descend from evaluated ones: of uniform draws, few cells would be among theirs.
    genes = {(place, cell) for one in told for place, cell in enumerate(one.candidate.genome.cells)}
    inherited = [
        (place, cell) in genes for one in candidates for place, cell in enumerate(one.genome.cells)
    ]
    assert np.mean(inherited) > 0.6


class Mortal:
    """The synthetic evaluator, which dies before the evaluation ``lives``; records its work."""

    def __init__(self, lives: int) -> None:
        self.lives, self.keys = lives, list[str]()

    def prepare(self) -> None: ...

    def evaluate(self, candidate: Candidate) -> Score:
        if len(self.keys) == self.lives:
            raise UserError("killed")  # executors raise only errors of this kind
        self.keys.append(candidate.key)
        return EVALUATOR.evaluate(candidate)


def rows(path: Path) -> list[tuple[int, str, Score | None]]:
    with Store(path) as store:
        return [(one.candidate.number, one.key, one.score) for one in store.evaluations()]


def searched(kind: MakeSettings, path: Path, lives: int = 10**9, **others: object) -> list[str]:
    """Search with a new controller until it dies, and return the keys that it evaluated."""
    evaluator = Mortal(lives)
    with (
        Store(path, {}) as store,
        InlineExecutor(InlineSettings(), lambda: evaluator) as executor,
        suppress(UserError),
    ):
        run_search(made(kind, **others), executor, store, budget=24)
    return evaluator.keys


@pytest.mark.parametrize("kind", ALL)
def test_no_stored_evaluation_is_replaced_whenever_the_search_is_killed(
    kind: MakeSettings, tmp_path: Path
) -> None:
    for lives in (1, 3, 8):  # after each candidate, within generations, between them
        path, trained = tmp_path / f"{lives}.db", list[str]()
        before: list[tuple[int, str, Score | None]] = []
        while len(before) < 24:
            trained += searched(kind, path, lives)
            now = rows(path)
            assert [row for row in now if row in before] == before
            assert len(now) == len(before) + min(lives, 24 - len(before))
            before = now
        assert sorted(trained) == sorted(key for _, key, _ in before)
        assert [number for number, _, _ in before] == list(range(24))


@pytest.mark.parametrize("kind", [*EXACT, *INEXACT])
def test_stores_of_versions_that_did_not_keep_the_generation_lose_nothing(
    kind: MakeSettings, tmp_path: Path
) -> None:
    path = tmp_path / "search.db"
    trained = searched(kind, path, 11)
    with sqlite3.connect(path) as db:  # as such versions stored it
        (text,) = db.execute("SELECT value FROM about WHERE name = 'state'").fetchone()
        state = json.loads(text) | {"pending": []}
        state["controller"] |= {"asked": 8}
        db.execute("UPDATE about SET value = ? WHERE name = 'state'", (json.dumps(state),))
    before = rows(path)
    trained += searched(kind, path)
    assert [row for row in rows(path) if row in before] == before
    assert sorted(trained) == sorted(key for _, key, _ in rows(path))
    assert len(trained) == 24


@pytest.mark.parametrize("kind", ALL)
def test_limits_that_no_network_meets_are_rejected(kind: MakeSettings) -> None:
    with pytest.raises(UserError, match="the lightest network of this space needs"):
        made(kind, max_mult_adds=0.5)


@pytest.mark.parametrize("library", ["pymoo", "optuna"])
def test_a_missing_library_is_reported_with_its_extra(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        UserError, match=rf"controller={library} .*pip install 'falsr-nas\[compare\]'"
    ):
        made(of_plugin(library))
