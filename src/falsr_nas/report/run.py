"""A search as the reports read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.folders import STORE
from falsr_nas.archive.store import Store
from falsr_nas.objectives.fresh import reported_evaluations
from falsr_nas.objectives.front import WIDE_PSNR_RANGE, ObjectiveScale
from falsr_nas.objectives.objective import Objectives, objectives_of
from falsr_nas.space.ends import SCALE
from falsr_nas.space.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Run:
    """A finished or running search.

    Attributes:
        name: name of its folder.
        evaluations: its evaluations, ordered by number.
        scale: scale of its hypervolume.
        min_psnr: dB that a network must reach to be on the front; None for no limit.
        settings: the settings that identify the search, by dotted names.
    """

    name: str
    evaluations: list[Evaluation]
    scale: ObjectiveScale
    min_psnr: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def objectives(self) -> Objectives:
        """What it optimises."""
        return self.scale.objectives

    @property
    def upscaling(self) -> int:
        """Upscaling factor of its networks; 2 where there is none yet."""
        return self.evaluations[0].candidate.genome.scale if self.evaluations else SCALE


def read_run(folder: Path) -> Run:
    """Read the evaluations so far of the search in a ``run_dir``.

    Raises:
        UserError: the folder has no search.
    """
    with Store(folder / STORE) as store:
        settings = store.config
        min_psnr = settings.get("constraints.min_psnr")
        objectives = objectives_of(settings, store.profile)
        evaluations = reported_evaluations(store, min_psnr, objectives)
        psnr_range = store.psnr_range or WIDE_PSNR_RANGE
    choices = {
        name.removeprefix("space."): value
        for name, value in settings.items()
        if name.startswith("space.")
    }
    limit = settings.get("constraints.max_mult_adds")
    scale = ObjectiveScale.of_space(SearchSpace(**choices), limit, psnr_range, objectives)
    return Run(folder.resolve().name, evaluations, scale, min_psnr, settings)


def with_distinct_names(runs: Sequence[Run], folders: Sequence[Path]) -> list[Run]:
    """Return the runs, named by the last parts of their folders, as many as make names differ.

    Args:
        runs: of different folders.
        folders: of the runs.
    """
    paths = [folder.resolve().parts for folder in folders]
    named = list(runs)
    for parts in range(2, max(map(len, paths), default=0) + 1):
        count = Counter(run.name for run in named)
        named = [
            replace(run, name="/".join(path[-parts:])) if count[run.name] > 1 else run
            for run, path in zip(named, paths, strict=True)
        ]
    return named
