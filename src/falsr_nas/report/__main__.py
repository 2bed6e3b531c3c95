"""``falsr-nas report A B``: report on one or several searches.

It writes the page ``report.html`` and the paper's figures 5 and 6.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.archive.folders import searches_in
from falsr_nas.benchmark.peers import BENCHMARKS
from falsr_nas.cli.command import run_command
from falsr_nas.cli.composition import read_overrides
from falsr_nas.cli.config import Schemas
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, one_of, path

if TYPE_CHECKING:
    from falsr_nas.report.paper_figures import Scored


@dataclass(frozen=True)
class ReportConfig(CommandSettings):
    """Settings of the command.

    Attributes:
        run_dirs: folders of searches; the folder of a sweep stands for all searches in it.
        output: path of the page; None for ``report.html`` in the folder of the search or of the
            sweep, or in the current folder if several are given.
        benchmark: benchmark set of Figure 5.
        scores: files written by ``falsr_nas.evaluate output=...``: our models in Figure 5.
    """

    run_dirs: tuple[str, ...] = path(default=REQUIRED)
    output: str | None = path(default=None)
    benchmark: str = one_of(BENCHMARKS, default="Set5")
    scores: tuple[str, ...] = path(default=())


def find_searches(folders: Sequence[str]) -> list[Path]:
    """Return the folders of the searches.

    Raises:
        UserError: ``folders`` is empty, or one of them does not exist or holds no search.
    """
    if not folders:
        raise UserError("run_dirs is empty: give the folder of a search, run_dirs=[outputs/demo]")
    found = [search for folder in folders for search in searches_in(Path(folder))]
    return list(dict.fromkeys(found))


def names_in_sweeps(folders: Sequence[str]) -> dict[Path, str]:
    """Return the names of the searches of sweeps: what differs between those of one sweep.

    Searches of which no settings are kept, and that are alone in their folder, have none.
    """
    from falsr_nas.report.run import differences

    names: dict[Path, str] = {}
    for folder in folders:
        searches = searches_in(Path(folder))
        found = differences([read_overrides(search) for search in searches])
        names |= {search: name for search, name in zip(searches, found, strict=True) if name}
    return names


def read_score(path: Path, benchmark: str) -> Scored | None:
    """Read a model's score from a file of ``falsr_nas.evaluate``.

    Returns:
        The score, or None if the model was not scored on this benchmark set.

    Raises:
        UserError: the file cannot be read, falsr_nas.evaluate did not write it, or the model's
            mult-adds are unknown or its PSNR is infinite.
    """
    from falsr_nas.report.paper_figures import Scored

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if benchmark not in content["sets"]:
            return None
        mult_adds, psnr = content["mult_adds"], content["sets"][benchmark]["psnr"]
        if mult_adds is not None and psnr is not None:
            scale = int(content.get("scale", 2))
            return Scored(str(content["model"]), mult_adds / 1e9, float(psnr), scale)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} has no scores: give a file written by falsr_nas.evaluate output=..."
        ) from error
    missing = "number of mult-adds" if mult_adds is None else "finite PSNR"
    raise UserError(f"{path} has no {missing}, so the figure cannot show it: leave it out")


def report(config: ReportConfig) -> tuple[Path, ...]:
    """Write the page and the figures of one or several searches.

    Returns:
        The paths of the written files, the page first.

    Raises:
        UserError: there is no search, or a file cannot be read or written.
    """
    load_plugins(config.plugins)
    folders = find_searches(config.run_dirs)
    names = names_in_sweeps(config.run_dirs)
    # After the mistakes that are found without matplotlib.
    from falsr_nas.report.figures import write_figure
    from falsr_nas.report.page import write_page
    from falsr_nas.report.paper_figures import objectives_figure, peers_figure
    from falsr_nas.report.run import read_run, with_distinct_names

    runs = [read_run(folder) for folder in folders]
    named = [replace(r, name=names.get(f, r.name)) for r, f in zip(runs, folders, strict=True)]
    runs = with_distinct_names(named, folders)
    place = Path(config.run_dirs[0]) if len(config.run_dirs) == 1 else Path()
    page = Path(config.output) if config.output else place / "report.html"
    write_page(page, runs)
    scores = (read_score(Path(file), config.benchmark) for file in config.scores)
    upscaling = runs[0].problem.scale
    models = [score for score in scores if score is not None and score.upscaling == upscaling]
    fronts = {
        run.name: run.problem.front(run.evaluations)
        for run in runs
        if run.problem.scale == upscaling
    }
    written = [page, page.with_name("figure5.png")]
    write_figure(written[-1], peers_figure(config.benchmark, models, fronts, upscaling))
    for number, run in enumerate(runs, start=1):
        written.append(page.with_name("figure6.png" if len(runs) == 1 else f"figure6-{number}.png"))
        write_figure(written[-1], objectives_figure(run.evaluations, run.problem))
    return tuple(written)


def main() -> None:
    """Run the command."""

    def print_paths(config: ReportConfig) -> None:
        print(*report(config), sep="\n")

    run_command("report", Schemas(ReportConfig, {}, words=("run_dirs",)), print_paths)


if __name__ == "__main__":
    main()
