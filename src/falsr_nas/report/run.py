"""A search as the reports read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.folders import STORE, search_name
from falsr_nas.archive.store import Store
from falsr_nas.objectives.problem import Problem, stored_problem


@dataclass(frozen=True, slots=True)
class Run:
    """A finished or running search.

    Attributes:
        name: of its folder, or of what differs from the other searches of a sweep.
        evaluations: its evaluations, ordered by number.
        problem: what it looks for.
        settings: the settings that identify the search, by dotted names.
    """

    name: str
    evaluations: list[Evaluation]
    problem: Problem
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """Read the evaluations so far of the search in a ``run_dir``.

    Raises:
        UserError: the folder has no search.
    """
    with Store(folder / STORE) as store:
        problem = stored_problem(store)
        evaluations = store.evaluations()
        return Run(search_name(folder), evaluations, problem, store.config)


def differences(typed: Sequence[Sequence[str]]) -> list[str]:
    """Return for each job of a sweep the settings that not all jobs share, as a name of the job.

    Args:
        typed: the settings of each job, such as ``["+experiment=demo", "seed=1"]``, which is
            ``seed=1`` where all others have the same experiment.
    """
    shared = set(typed[0]).intersection(*typed)
    return [
        ", ".join(setting.lstrip("+") for setting in settings if setting not in shared)
        for settings in typed
    ]


def with_distinct_names(runs: Sequence[Run], folders: Sequence[Path]) -> list[Run]:
    """Return the runs, named by the last parts of their folders, as many as make names differ."""
    paths = [folder.resolve().parts for folder in folders]
    named = list(runs)
    for parts in range(2, max(map(len, paths), default=0) + 1):
        count = Counter(run.name for run in named)
        named = [
            replace(run, name="/".join(path[-parts:])) if count[run.name] > 1 else run
            for run, path in zip(named, paths, strict=True)
        ]
    return named
