"""Searches: controller, executor and store are built from the settings and connected."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.archive.folders import STORE
from falsr_nas.cli.composition import (
    OVERRIDES,
    Composition,
    again_command,
    config_file,
    overrides_file,
)
from falsr_nas.controller.settings import CONTROLLERS
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import keep_sources, load_plugins, owner
from falsr_nas.data.identity import compared, keep, known_images
from falsr_nas.evaluation.psnr_range import psnr_range as evaluators_range
from falsr_nas.evaluation.settings import (
    EVALUATORS,
    EvaluationContext,
    IncompleteTrainingSettings,
)
from falsr_nas.execution.settings import EXECUTORS, InlineSettings, WorkersSettings
from falsr_nas.objectives.objective import OBJECTIVES
from falsr_nas.search.config import (
    SearchConfig,
    device_profile,
    identity,
    options_of,
    plugins_of,
)
from falsr_nas.space.cell import other_cells
from falsr_nas.space.operators import GROUP as OPERATOR

if TYPE_CHECKING:
    from falsr_nas.archive.store import Store
    from falsr_nas.controller.controller import Controller
    from falsr_nas.evaluation.evaluator import Evaluator
    from falsr_nas.execution.executor import Executor
    from falsr_nas.latency.profile import LatencyProfile
    from falsr_nas.objectives.problem import Problem
    from falsr_nas.search.result import SearchResult

__all__ = ["SearchConfig", "build_controller", "build_evaluator", "build_executor", "search"]

_log = logging.getLogger(__name__)


def search(
    config: SearchConfig, *, progress: bool = False, composed: Composition | None = None
) -> SearchResult:
    """Run or resume the search of ``config`` in its folder, and write its report there.

    A warning is logged if the folder already holds more candidates than ``config`` asks for.

    Args:
        config: the settings.
        progress: whether to show the progress on standard error.
        composed: how the command composed the config, for ``config.yaml``.

    Returns:
        The front and all evaluations.

    Raises:
        UserError: for a mistake that the user can correct.
        SearchError: the search cannot continue; finished evaluations are stored.
        KeyboardInterrupt: by Ctrl-C or SIGTERM; finished evaluations are stored.
    """
    from falsr_nas.archive.database import wait_for_disk_space
    from falsr_nas.archive.store import Store
    from falsr_nas.core.interruption import Interrupted, interruptible
    from falsr_nas.core.lock import exclusive

    load_plugins(config.plugins)
    folder, images = Path(config.run_dir), []
    if isinstance(config.evaluator, IncompleteTrainingSettings):
        images = known_images(config.data, config.space.scale, folder)  # before torch is loaded
    _check_operators(config)
    try:
        with exclusive(folder), interruptible():
            profile = device_profile(config)
            problem = build_problem(config, profile)
            controller = build_controller(config, problem)
            begun = (folder / STORE).exists()
            ignored = compared(folder, images, config.data) if begun and images else ()
            # The executor first: a mistake about the images is reported before a store is made.
            with (
                build_executor(config, profile) as executor,
                Store(
                    folder / STORE,
                    identity(config, profile),
                    ignored,
                    on_full=wait_for_disk_space,
                ) as store,
            ):
                if images:
                    keep(folder, images)
                if profile is not None:
                    store.set_profile(profile.to_json())
                _keep_config(config, folder, composed or Composition())
                keep_sources(folder, plugins_of(config))
                if (stored := store.count()) > config.candidates:
                    _log.warning(
                        "%s already holds %d candidates, more than candidates=%d: nothing to do",
                        folder,
                        stored,
                        config.candidates,
                    )
                psnr_range = _psnr_range(config, store)
                problem = replace(problem, psnr_range=psnr_range)
                return _run(config, problem, controller, executor, store, progress=progress)
    except Interrupted:
        raise KeyboardInterrupt from None


def _keep_config(config: SearchConfig, folder: Path, composed: Composition) -> None:
    """Write the settings to ``config.yaml``, and what was typed to ``overrides.yaml``."""
    from falsr_nas.core.files import write_atomically

    options = options_of(config) | dict(composed.options)
    again = again_command("search", folder, config.plugins)
    text = config_file("search", config, options, again)
    write_atomically(folder / "config.yaml", text.encode())
    write_atomically(folder / OVERRIDES, overrides_file(composed.overrides).encode())


def build_problem(config: SearchConfig, profile: LatencyProfile | None) -> Problem:
    """Build the problem of a search, whose latency the profile predicts.

    Raises:
        UserError: latency is an objective or limited, and there is no profile.
    """
    from falsr_nas.objectives.problem import Problem

    costs = tuple(OBJECTIVES[name] for name in config.objectives[1:])
    return Problem(config.space, costs, config.constraints, profile=profile)


def build_controller(config: SearchConfig, problem: Problem) -> Controller:
    """Build the controller of a search. Raises UserError where a library is missing."""
    import numpy as np

    rng = np.random.default_rng(config.seed)
    return CONTROLLERS.build(config.controller, problem, rng)


def build_evaluator(config: SearchConfig, profile: LatencyProfile | None = None) -> Evaluator:
    """Build the evaluator of a search, which times candidates where the search wants latencies."""
    return EVALUATORS.build(config.evaluator, _context(config, profile))


def _check_operators(config: SearchConfig) -> None:
    """Raise UserError where operators are not what they declare, or workers cannot have them."""
    cells = other_cells(config.space.distinct_cells)
    for name in {cell.operator.kind for cell in cells}:
        if owner(OPERATOR, name) is None and not isinstance(config.execution, InlineSettings):
            raise UserError(
                f"operator {name} is registered by no plug-in, so worker processes do not have it:"
                " move it to a file and give plugins=[FILE.py], or use execution=inline"
            )
    if cells:
        from falsr_nas.networks.operator_check import check_operators

        check_operators(cells)


def _context(config: SearchConfig, profile: LatencyProfile | None = None) -> EvaluationContext:
    execution = config.execution
    devices = execution.devices_per_candidate if isinstance(execution, WorkersSettings) else 1
    wanted = "latency" in config.objectives or config.constraints.max_latency_ms is not None
    return EvaluationContext(
        config.training,
        config.data,
        config.seed,
        devices,
        config.space.scale,
        timed=profile if wanted and config.measure_latency else None,
        degradation=config.degradation,
    )


def _psnr_range(config: SearchConfig, store: Store) -> tuple[float, float]:
    """Return the PSNR range of the hypervolume, which is stored with the search.

    Without a range in ``config`` it is the stored one, at the start the evaluator's.
    """
    from falsr_nas.objectives.problem import WIDE_PSNR_RANGE

    wanted, stored = config.psnr_range, store.psnr_range
    psnr_range = wanted or stored or evaluators_range(config.evaluator, _context(config))
    psnr_range = psnr_range or WIDE_PSNR_RANGE
    if psnr_range != stored:
        store.set_psnr_range(psnr_range)
    return psnr_range


def build_executor(config: SearchConfig, profile: LatencyProfile | None = None) -> Executor:
    """Build the executor of a search, with the evaluator in it."""
    return EXECUTORS.build(config.execution, partial(build_evaluator, config, profile))


def _run(
    config: SearchConfig,
    problem: Problem,
    controller: Controller,
    executor: Executor,
    store: Store,
    *,
    progress: bool,
) -> SearchResult:
    from rich.console import Console

    from falsr_nas.execution.retrying import RetryingExecutor
    from falsr_nas.report.run_dir import ReportWriter
    from falsr_nas.search.loop import run_search
    from falsr_nas.search.result import result_so_far
    from falsr_nas.tracking.progress import Progress, SearchMonitor
    from falsr_nas.tracking.trackers import open_tracker

    folder = store.path.parent
    retrying = RetryingExecutor(executor, config.execution.failures, store.add_failure)
    with (
        ReportWriter(folder, store, problem) as report,
        open_tracker(config.tracking, folder, store.config) as tracker,
        Progress(None if progress else Console(quiet=True, force_terminal=False)) as shown,
    ):
        stored = store.evaluations()
        monitor = SearchMonitor(
            shown, tracker, problem, total=config.candidates, evaluations=stored
        )
        run_search(
            controller,
            retrying,
            store,
            budget=config.candidates,
            observers=[monitor, report],
        )
        monitor.finish()
    return result_so_far(store, problem)
