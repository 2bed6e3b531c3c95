"""A search as its report shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.archive.objectives import ObjectiveScale
from falsr_nas.archive.store import Store
from falsr_nas.space.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Run:
    """A finished or a running search.

    Attributes:
        name: what people call it: its folder's name.
        evaluations: by number.
        scale: of its hypervolume.
        min_psnr: dB that a network must reach to be on the front.
        settings: what makes it this search, dotted.
    """

    name: str
    evaluations: list[Evaluation]
    scale: ObjectiveScale
    min_psnr: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """The search in a ``run_dir``, as far as it has come. Raises UserError where there is none."""
    with Store(folder / "search.db") as store:
        settings, evaluations = store.config, store.evaluations()
    choices = {
        name.removeprefix("space."): value
        for name, value in settings.items()
        if name.startswith("space.")
    }
    scale = ObjectiveScale.of_space(SearchSpace(**choices))
    return Run(
        folder.resolve().name, evaluations, scale, settings.get("constraints.min_psnr"), settings
    )


def named_apart(runs: Sequence[Run], folders: Sequence[Path]) -> list[Run]:
    """The runs, where some share a name with their folders' parents' names before their own."""
    count = Counter(run.name for run in runs)
    parents = [f"{folder.resolve().parent.name}/" for folder in folders]
    return [
        replace(run, name=(parent if count[run.name] > 1 else "") + run.name)
        for run, parent in zip(runs, parents, strict=True)
    ]
