"""``falsr-nas search``: search for networks.

The same command with the same ``run_dir`` resumes a search.
"""

from __future__ import annotations

import math
import shlex
import sys
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.archive.folders import STORE
from falsr_nas.cli.command import job_of_sweep, run_command, run_dir
from falsr_nas.cli.composition import again_command, composition
from falsr_nas.core.errors import SEARCH_ERROR, SearchError, UserError
from falsr_nas.data.settings import data_option
from falsr_nas.search.config import SCHEMAS, SearchConfig
from falsr_nas.search.run import search

if TYPE_CHECKING:
    from falsr_nas.search.result import SearchResult


def _command(config: SearchConfig) -> float:
    """Search, print the front, and return its hypervolume, which sweepers may maximise."""
    config = replace(config, run_dir=run_dir())  # a job of a sweep has a folder of its own
    folder = Path(config.run_dir)
    try:
        result = search(config, progress=True, composed=composition(SCHEMAS.groups))
    except KeyboardInterrupt:
        count, again = _count(folder), _resume_command(folder)
        print(f"stopped; {count} candidates are stored. To continue: {again}", file=sys.stderr)
        raise
    except SearchError as error:
        print(f"the search cannot continue: {error}", file=sys.stderr)
        print(f"Once that is fixed: {_resume_command(folder)}", file=sys.stderr)
        if job_of_sweep() is not None:
            raise  # the other jobs run all the same
        sys.exit(SEARCH_ERROR)
    _print(result)
    print(f"again:   {again_command('search', result.folder, config.plugins)}")
    if result.front:
        print(f"next:    {train_command(config, result.folder)}")
    return result.hypervolume


def _print(result: SearchResult) -> None:
    from falsr_nas.cli.console import console
    from falsr_nas.report.failures import failures_table
    from falsr_nas.report.terminal import front_table

    if not result.front:
        min_psnr = result.problem.constraints.min_psnr
        limit = "" if min_psnr is None else f" of at least {min_psnr:g} dB"
        count = len(result.evaluations)
        print(f"no candidate has a score{limit}: {count} were evaluated", file=sys.stderr)
    console().print(front_table(result.front, result.problem))
    if result.failures:
        console().print(failures_table(result.failures))
    files = ["report.html", "pareto.csv", "pareto.json", "pareto.png"]
    files += ["failures.csv"] * bool(result.failures) + [STORE, "config.yaml"]
    print(f"results: {result.folder}  ({', '.join(files)})")


def train_command(config: SearchConfig, folder: Path) -> str:
    """Return the command that trains the best network further.

    It is for twice as many steps as the search trained it, and at least 1,000.
    """
    epochs = max(4, math.ceil(2 * config.training.steps / 250))  # of training=final
    here = Path.cwd()
    place = folder.relative_to(here) if folder.is_relative_to(here) else folder
    words = ["falsr-nas", "train", str(place), "--select", "psnr", "--n", "1"]
    words += ["--training", "final", "--training.epochs", str(epochs), *_data_options(config)]
    words += ["--plugins", ",".join(config.plugins)] if config.plugins else []
    return shlex.join(words)


def _data_options(config: SearchConfig) -> list[str]:
    """Return the options that choose the images of a search, as far as they are no defaults."""
    data = config.data
    words = ["--data", name] if (name := data_option(data)) != "photographs" else []
    for setting in fields(data):
        if (value := getattr(data, setting.name)) != setting.default:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--data.{setting.name.replace('_', '-')}", text]
    return words


def _count(folder: Path) -> int:
    """Count stored candidates; 0 where the search was stopped before it had a store."""
    from falsr_nas.archive.store import Store

    with suppress(UserError), Store(folder / STORE) as store:
        return store.count()
    return 0


def _resume_command(folder: Path) -> str:
    """Return the command as it was typed, with the folder; of ``falsr-nas`` without its place.

    That of a sweep is as it was typed: the folder is that of one of its jobs.
    """
    program, *typed = sys.orig_argv[1:]
    if job_of_sweep() is None:
        typed = [argument for argument in typed if not argument.startswith("run_dir=")]
        end = typed.index("--") if "--" in typed else len(typed)  # what follows are words
        typed.insert(end, f"run_dir={folder}")
    start = [Path(program).name] if Path(program).name.startswith("falsr-") else ["python", program]
    return shlex.join([*start, *typed])


def main() -> None:
    """Run the command."""
    run_command("search", SCHEMAS, _command)


if __name__ == "__main__":
    main()
