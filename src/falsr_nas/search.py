"""``python -m falsr_nas.search``: search for networks; the same command with the same ``run_dir`` resumes."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from omegaconf import OmegaConf

from falsr_nas.cli.command import run_command, run_dir
from falsr_nas.cli.config import Schemas, flatten
from falsr_nas.cli.interruption import Interrupted, interruptible
from falsr_nas.controller.settings import (
    CONTROLLERS,
    Constraints,
    ControllerSettings,
    Mode,
)
from falsr_nas.data.settings import DataSettings, Div2kSettings, FolderSettings, PhotographsSettings
from falsr_nas.errors import SearchError, UserError
from falsr_nas.evaluation.settings import (
    EvaluatorSettings,
    IncompleteTrainingSettings,
    SyntheticSettings,
)
from falsr_nas.execution.settings import (
    ExecutionSettings,
    InlineSettings,
    ProcessesSettings,
    RaySettings,
    WorkersSettings,
)
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.training.settings import TrainingSettings

if TYPE_CHECKING:
    from falsr_nas.archive.candidate import Evaluation
    from falsr_nas.archive.objectives import ObjectiveScale
    from falsr_nas.archive.store import Store
    from falsr_nas.controller.controller import Controller
    from falsr_nas.evaluation.evaluator import Evaluator
    from falsr_nas.execution.executor import Executor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchConfig:
    """Settings of a search.

    Attributes:
        space: what can be built.
        constraints: limits on what is worth building.
        controller: who proposes.
        evaluator: who scores.
        training: the incomplete training of each candidate.
        data: the images.
        execution: where evaluations run.
        tracking: Weights & Biases.
        mode: whether the controller is told by generations, or of each evaluation as it ends.
        candidates: how many to evaluate. More may be asked for later, with the same ``run_dir``.
        seed: of everything random.
        run_dir: where all results lie.
    """

    space: SearchSpace = field(default_factory=SearchSpace)
    constraints: Constraints = field(default_factory=Constraints)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    evaluator: EvaluatorSettings = field(default_factory=EvaluatorSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    data: DataSettings = field(default_factory=DataSettings)
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    mode: Mode = Mode.generational
    candidates: int = 64
    seed: int = 1
    run_dir: str = "outputs/search"

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise UserError(f"candidates is {self.candidates}: a search evaluates at least 1")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: it must not be negative")


SCHEMAS = Schemas(
    SearchConfig,
    {
        "space": {"falsr": SearchSpace},
        "controller": CONTROLLERS.schemas,
        "evaluator": {"incomplete": IncompleteTrainingSettings, "synthetic": SyntheticSettings},
        "training": {"training": TrainingSettings},
        "data": {
            "photographs": PhotographsSettings,
            "folder": FolderSettings,
            "div2k": Div2kSettings,
        },
        "execution": {"inline": InlineSettings, "processes": ProcessesSettings, "ray": RaySettings},
        "tracking": {"tracking": TrackingSettings},
    },
)

REPORT_SECONDS = 30.0
"""Least time between two writings of the report while a search runs."""

OUTPUT_WIDTH = 140
"""Columns of printed tables where the output is no terminal."""

CHANGEABLE = ("run_dir", "candidates", "execution", "tracking")
"""Settings that may differ when a search goes on: they do not change what it finds."""


def identity(config: SearchConfig) -> dict[str, Any]:
    """What makes a search this search: all its settings, dotted, but the CHANGEABLE ones."""
    plain = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert isinstance(plain, dict)
    return flatten({key: value for key, value in plain.items() if key not in CHANGEABLE})


def search(config: SearchConfig) -> None:
    """Run or resume the search of ``config`` in its folder, write its report and print its front.

    Raises:
        UserError: for what a user can mend.
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the command that goes on has been printed.
        SystemExit: with 1 when the search cannot go on; why has been printed.
    """
    from falsr_nas.cli.lock import exclusive

    folder = Path(run_dir())
    with exclusive(folder), interruptible():
        try:
            _search(config, folder)
        except Interrupted:
            print(
                f"stopped; {_count(folder)} candidates are stored. To go on: {_resume_command(folder)}",
                file=sys.stderr,
            )
            raise KeyboardInterrupt from None
        except SearchError as error:
            print(
                f"the search cannot go on: {error}\nOnce that is mended: {_resume_command(folder)}",
                file=sys.stderr,
            )
            sys.exit(1)


def _search(config: SearchConfig, folder: Path) -> None:
    from falsr_nas.archive.store import Store, wait_for_room
    from falsr_nas.files import write_atomically

    controller = build_controller(config)
    # The executor first: what is wrong with the images is said before a store is made, and can still be mended.
    with (
        build_executor(config) as executor,
        Store(folder / "search.db", identity(config), on_full=wait_for_room) as store,
    ):
        write_atomically(
            folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)).encode()
        )
        _run(config, folder, controller, executor, store)


def build_controller(config: SearchConfig) -> Controller:
    """The controller of a search's settings. Raises UserError where it needs a library that is not installed."""
    import numpy as np

    return CONTROLLERS.build(
        config.controller, config.space, config.constraints, np.random.default_rng(config.seed)
    )


def build_evaluator(config: SearchConfig) -> Evaluator:
    """The evaluator of a search's settings."""
    if isinstance(config.evaluator, SyntheticSettings):
        from falsr_nas.evaluation.synthetic import SyntheticEvaluator

        return SyntheticEvaluator(config.evaluator, config.seed)
    from falsr_nas.evaluation.incomplete_training import IncompleteTraining

    assert isinstance(config.evaluator, IncompleteTrainingSettings)
    devices = (
        config.execution.devices_per_candidate
        if isinstance(config.execution, WorkersSettings)
        else 1
    )
    return IncompleteTraining(config.evaluator, config.training, config.data, config.seed, devices)


def build_executor(config: SearchConfig) -> Executor:
    """The executor of a search's settings, with the evaluator in it."""
    make_evaluator = partial(build_evaluator, config)
    if isinstance(config.execution, ProcessesSettings):
        from falsr_nas.execution.processes import ProcessesExecutor

        return ProcessesExecutor(config.execution, make_evaluator)
    if isinstance(config.execution, RaySettings):
        from falsr_nas.execution.ray_executor import RayExecutor

        return RayExecutor(config.execution, make_evaluator)
    from falsr_nas.execution.executor import InlineExecutor

    return InlineExecutor(make_evaluator)


def _run(
    config: SearchConfig, folder: Path, controller: Controller, executor: Executor, store: Store
) -> None:
    from rich.console import Console

    from falsr_nas.archive.objectives import ObjectiveScale, pareto_front
    from falsr_nas.loop import run_search
    from falsr_nas.report.failures import failures_table
    from falsr_nas.report.terminal import front_table
    from falsr_nas.tracking.progress import Progress, SearchMonitor
    from falsr_nas.tracking.tracker import open_tracker

    scale, min_psnr = ObjectiveScale.of_space(config.space), config.constraints.min_psnr
    report = ReportWriter(folder, store, scale, min_psnr)
    tracker = open_tracker(config.tracking, folder, identity(config))
    with report, tracker as tracking, Progress() as progress:
        monitor = SearchMonitor(
            progress,
            tracking,
            scale,
            total=config.candidates,
            evaluations=store.evaluations(),
            min_psnr=min_psnr,
        )
        run_search(
            controller,
            executor,
            store,
            budget=config.candidates,
            population_size=config.controller.population_size,
            mode=config.mode,
            policies=config.execution.failures,
            observers=[monitor, report],
        )
        monitor.finish()
    evaluations = store.evaluations()
    front = pareto_front(evaluations, min_psnr)
    if not front:
        limit = "" if min_psnr is None else f" of {min_psnr:g} dB"
        print(
            f"no candidate has a score{limit}: {len(evaluations)} were evaluated", file=sys.stderr
        )
    console = Console(width=None if sys.stdout.isatty() else OUTPUT_WIDTH)
    console.print(front_table(front))
    if failures := store.failures():
        console.print(failures_table(failures))
    files = f"report.html, pareto.csv, pareto.json, pareto.png, {'failures.csv, ' * bool(failures)}search.db, config.yaml"
    print(f"results: {folder}  ({files})")


class ReportWriter:
    """Keeps the front's files up to date: every REPORT_SECONDS at most while the search runs, and when it ends, however it ends."""

    def __init__(
        self, folder: Path, store: Store, scale: ObjectiveScale, min_psnr: float | None
    ) -> None:
        self._folder, self._store, self._scale, self._min_psnr = folder, store, scale, min_psnr
        self._written = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._write()
        except UserError:
            if error is None:  # else what ended the search says more
                raise

    def evaluated(self, evaluation: Evaluation) -> None:
        """Nothing: the front is written by generations."""

    def generation_ended(self, generation: int) -> None:
        """Write the files, unless they were written a moment ago."""
        if time.monotonic() - self._written <= REPORT_SECONDS:
            return
        try:
            self._write()
        except UserError as error:  # a full disk, as likely as not: the next time may fare better
            _log.warning("%s", error)

    def _write(self) -> None:
        from falsr_nas.report.failures import write_failures_csv
        from falsr_nas.report.run import Run
        from falsr_nas.report.run_dir import write_report

        name = self._folder.resolve().name
        write_report(
            self._folder,
            Run(name, self._store.evaluations(), self._scale, self._min_psnr, self._store.config),
        )
        if failures := self._store.failures():
            write_failures_csv(self._folder / "failures.csv", failures)
        self._written = time.monotonic()


def _count(folder: Path) -> int:
    """Candidates that are stored; none where the search was stopped before it had a store."""
    from falsr_nas.archive.store import Store

    with suppress(UserError), Store(folder / "search.db") as store:
        return store.count()
    return 0


def _resume_command(folder: Path) -> str:
    typed = [argument for argument in sys.orig_argv[1:] if not argument.startswith("run_dir=")]
    return shlex.join(["python", *typed, f"run_dir={folder}"])


def main() -> None:
    """The command."""
    run_command("search", SCHEMAS, search, free_text=("run_dir", "data.val_dir", "data.root"))


if __name__ == "__main__":
    import_module(
        "falsr_nas.search"
    ).main()  # what travels to other processes is found there by that name, not as __main__
