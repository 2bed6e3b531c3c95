"""Trackers that use Weights & Biases (W&B).

Errors in W&B never stop a search or a training: it continues without tracking.
"""

from __future__ import annotations

import logging
import netrc
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.core.closing import Closing
from falsr_nas.core.errors import UserError
from falsr_nas.core.files import write_atomically
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import SearchSummary, flat_row
from falsr_nas.tracking.settings import TrackingSettings
from falsr_nas.tracking.tracker import Images, Tracker, TrainingTracker

if TYPE_CHECKING:
    import wandb

_COLUMNS = ("key", "genome", "psnr", "mse", "mult_adds", "params", "generation", "operators")
_TABLE_ROWS = 10_000  # limit of W&B
_log = logging.getLogger(__name__)


class _WandbRun(Closing):
    """One W&B run per folder, which a resumed job continues; a context manager.

    Args:
        settings: with mode ``offline`` or ``online``.
        run_dir: folder of the search or training. W&B's files are written to its subfolder
            ``wandb``, and the ID of the run to ``wandb/run-id``.
        config: resolved settings of the search or training.
        name: of the run.
    """

    job_type: ClassVar[str]

    def __init__(
        self, settings: TrackingSettings, run_dir: Path, config: Mapping[str, Any], name: str
    ) -> None:
        self._settings, self._run_dir, self._config = settings, run_dir, config
        self._name = name
        self._run: wandb.Run | None = None
        self._given_up = False

    def __enter__(self) -> Self:
        try:
            self._run = self._start()
        except Exception as error:
            self._give_up(error)
        return self

    def close_after(self, error: BaseException | None) -> None:
        """End the run, as failed after an error."""
        self._try(lambda run: run.finish(exit_code=0 if error is None else 1))

    def _start(self) -> wandb.Run:
        import wandb

        (self._run_dir / "wandb").mkdir(parents=True, exist_ok=True)
        settings = self._settings
        mode: Literal["offline", "online"] = "online" if settings.mode == "online" else "offline"
        # Do not upload the user's code or a git diff.
        quiet = wandb.Settings(
            mode=mode,
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            login_timeout=1,
        )
        wandb.setup(quiet)
        return wandb.init(
            dir=self._run_dir,
            project=settings.project,
            entity=settings.entity,
            name=self._name,
            group=settings.group,
            job_type=self.job_type,
            tags=settings.tags,
            config=dict(self._config),
            id=_run_id(self._run_dir),
            resume="allow",
            reinit="create_new",  # leave other runs of this process open
            settings=quiet,
        )

    def _try(self, action: Callable[[wandb.Run], None]) -> None:
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Continue without W&B, and stop its service, so that it reports nothing at exit."""
        run, self._run = self._run, None
        if self._given_up:  # by another thread, whose call failed at the same time
            return
        self._given_up = True
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        _log.warning("W&B failed; continuing without tracking: %s", first)
        try:
            if run is not None:
                run.finish(exit_code=1)
        except Exception:
            import wandb

            with suppress(Exception):
                wandb.teardown()


class WandbTracker(_WandbRun, Tracker):
    """The W&B run of a search."""

    job_type = "search"

    def generation(self, summary: SearchSummary, candidates_per_hour: float | None) -> None:
        """Log the metrics of a generation, with its number as the step.

        The steps of a resumed run then continue those before it.
        """
        metrics = asdict(summary) | {"candidates_per_hour": candidates_per_hour}
        present = {name: value for name, value in metrics.items() if value not in (None, {})}
        self._try(lambda run: run.log(present, step=summary.generation))

    def finish(self, evaluations: Sequence[Evaluation], problem: Problem) -> None:
        """Log the evaluations, the front and two plots of the front.

        The tables are ``all_candidates`` (with ``all_candidates_2`` and so on after every 10,000
        rows) and ``front``; the plots are ``front_mult_adds``, ``front_params`` and so on, one for
        each cost that the search shows.
        """
        if evaluations:
            last = max(evaluation.candidate.generation for evaluation in evaluations)
            self._try(lambda run: run.log(dict(_tables(evaluations, problem)), step=last))


class WandbTrainingTracker(_WandbRun, TrainingTracker):
    """The W&B run of a training."""

    job_type = "train"

    def validated(self, metrics: Mapping[str, float], step: int, images: Images) -> None:
        """Log the metrics of a validation, and its images as ``validation``."""

        def log(run: wandb.Run) -> None:
            import wandb

            run.log({**metrics, "validation": wandb.Image(images)}, step=step)

        self._try(log)

    def trained(self, model: Path, name: str, about: Mapping[str, Any]) -> None:
        """Log the model file as an artifact of type ``model``."""

        def log(run: wandb.Run) -> None:
            import wandb

            artifact = wandb.Artifact(name, type="model", metadata=dict(about))
            artifact.add_file(str(model))
            run.log_artifact(artifact)

        self._try(log)


def check_login(settings: TrackingSettings) -> None:
    """Raise UserError where the mode is ``online``, and W&B has no API key."""
    if settings.mode == "online" and not _has_api_key():
        raise UserError(
            "tracking=online needs a W&B API key: set WANDB_API_KEY or tracking=offline"
        )


def _has_api_key() -> bool:
    """Return whether W&B has an API key, from the environment or from ``wandb login``."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb

    # W&B's public server has more than one name.
    hosts = [
        urlsplit(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url).hostname,
        "api.wandb.ai",
    ]
    given = os.environ.get("NETRC")
    for file in [given] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with suppress(OSError, netrc.NetrcParseError):
            logins = netrc.netrc(file).hosts
            return any(host in logins for host in hosts)
    return False


def _run_id(run_dir: Path) -> str:
    """Return the ID of the W&B run of a folder; create it at first use."""
    path = run_dir / "wandb" / "run-id"
    if not path.exists():
        write_atomically(path, secrets.token_hex(4).encode())
    return path.read_text().strip()


def _tables(evaluations: Sequence[Evaluation], problem: Problem) -> Iterator[tuple[str, Any]]:
    import wandb

    front = problem.front(evaluations)
    columns = (*_COLUMNS, *(cost.name for cost in problem.added))

    def table(part: Sequence[Evaluation]) -> wandb.Table:
        rows = [flat_row(evaluation) | problem.numbers(evaluation) for evaluation in part]
        return wandb.Table(list(columns), [[row[name] for name in columns] for row in rows])

    for part, start in enumerate(range(0, len(evaluations), _TABLE_ROWS)):
        name = f"all_candidates_{part + 1}" if part else "all_candidates"
        yield name, table(evaluations[start : start + _TABLE_ROWS])
    yield "front", table(front)
    for cost in problem.shown:
        title = f"Pareto front: PSNR (dB) against {cost.label}"
        plot = wandb.plot.scatter(table(front), cost.name, "psnr", title=title)
        yield f"front_{cost.name}", plot
