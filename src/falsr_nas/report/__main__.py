"""``python -m falsr_nas.report run_dirs=[A,B]``: the page of one search or of several laid over each other, and the paper's figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from falsr_nas.benchmark.peers import BENCHMARKS
from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.errors import UserError

if TYPE_CHECKING:
    from falsr_nas.report.paper_figures import Scored


@dataclass(frozen=True)
class ReportConfig:
    """Settings of the command.

    Attributes:
        run_dirs: folders of searches, or of sweeps, which stand for all searches in them.
        output: the page; None for ``report.html`` in the one search's folder, or here where there are several.
        benchmark: of Figure 5.
        scores: what ``falsr_nas.evaluate output=...`` wrote of our trained models, for Figure 5.

    Raises:
        UserError: no such benchmark.
    """

    run_dirs: tuple[str, ...] = MISSING
    output: str | None = None
    benchmark: str = "Set5"
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.benchmark not in BENCHMARKS:
            raise UserError(
                f"benchmark is {self.benchmark!r}: choose one of {', '.join(BENCHMARKS)}"
            )


def find_searches(folders: Sequence[str]) -> list[Path]:
    """The folders of the searches meant. Raises UserError where there is none."""
    if not folders:
        raise UserError("run_dirs is empty: give the folder of a search, run_dirs=[outputs/demo]")
    found: list[Path] = []
    for folder in map(Path, folders):
        searches = (
            [folder]
            if (folder / "search.db").exists()
            else sorted(path.parent for path in folder.glob("*/search.db"))
        )
        if not searches:
            raise UserError(
                f"{folder} holds no search: run_dirs are what falsr_nas.search had as its run_dir"
            )
        found += searches
    return list(dict.fromkeys(found))


def read_score(path: Path, benchmark: str) -> Scored | None:
    """A model's score from ``falsr_nas.evaluate``'s file; None where it was not measured on this benchmark. Raises UserError."""
    from falsr_nas.report.paper_figures import Scored

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if benchmark not in content["sets"]:
            return None
        return Scored(
            str(content["model"]),
            content["mult_adds"] / 1e9,
            float(content["sets"][benchmark]["psnr"]),
        )
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not what falsr_nas.evaluate output=... writes") from error


def report(config: ReportConfig) -> None:
    """Write the page and the figures."""
    from falsr_nas.archive.objectives import pareto_front
    from falsr_nas.report.page import write_page
    from falsr_nas.report.paper_figures import objectives_figure, peers_figure, write_figure
    from falsr_nas.report.run import named_apart, read_run

    folders = find_searches(config.run_dirs)
    runs = named_apart([read_run(folder) for folder in folders], folders)
    page = (
        Path(config.output)
        if config.output
        else (folders[0] if len(folders) == 1 else Path()) / "report.html"
    )
    written = [page]
    write_page(page, runs)
    models = [
        score
        for path in config.scores
        if (score := read_score(Path(path), config.benchmark)) is not None
    ]
    fronts = {run.name: pareto_front(run.evaluations, run.min_psnr) for run in runs}
    written.append(page.with_name("figure5.png"))
    write_figure(written[-1], peers_figure(config.benchmark, models, fronts))
    for number, run in enumerate(runs, start=1):
        written.append(page.with_name("figure6.png" if len(runs) == 1 else f"figure6-{number}.png"))
        write_figure(written[-1], objectives_figure(run.evaluations, run.min_psnr))
    for path in written:
        print(path)


def main() -> None:
    """The command."""
    run_command("report", Schemas(ReportConfig, {}), report, free_text=("output",))


if __name__ == "__main__":
    main()
