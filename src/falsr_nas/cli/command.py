"""What all commands share: configuration by Hydra, errors as one line, exit codes."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from falsr_nas.cli.arguments import (
    Arguments,
    hydra_arguments,
    named_plugins,
    no_setting,
    one_of,
    usage,
)
from falsr_nas.cli.config import Schemas, config_path, unknown_keys
from falsr_nas.cli.console import closed_output_ends_quietly, output_mistake
from falsr_nas.core.errors import INTERRUPTED, SEARCH_ERROR, USER_ERROR, SearchError, UserError
from falsr_nas.core.files import no_folder
from falsr_nas.core.interruption import Interrupted, exit_quietly_on_signals, interruptible
from falsr_nas.core.plugins import SETTING, explained, load_plugins
from falsr_nas.core.processor import usable_cores
from falsr_nas.core.version import __version__

if TYPE_CHECKING:
    from omegaconf import DictConfig


OF_SEARCH = (
    "deap",
    "lightning_fabric",
    "matplotlib",
    "moocore",
    "pytorch_lightning",
    "scipy",
    "skimage",
    "thop",
    "torchmetrics",
    "wandb",
)
"""Modules of the extra ``search``: who only uses models does not install them."""

PLUGGABLE = ("controller", "evaluator")
"""Config groups to which plug-ins may add options."""


def run_command(name: str, schemas: Schemas, task: Callable[[Any], float | None]) -> None:
    """Run ``task`` on the config composed from ``conf/<name>.yaml`` and the command line.

    A user's mistake prints one line and exits with 2, also one in a job of a sweep, whose other
    jobs run all the same. Ctrl-C and SIGTERM exit with 130. ``docs/errors.md`` lists the exit
    codes.

    Args:
        name: of the command, its config file and its schema.
        schemas: of the config and its groups.
        task: called with the config as an instance of ``schemas.command``. What it returns is what
            sweepers optimise.
    """
    exit_quietly_on_signals()  # before Hydra is imported, which takes a while
    if (cores := usable_cores()) < len(os.sched_getaffinity(0)):  # OpenMP ignores cgroups
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    os.environ.pop("MPLBACKEND", None)  # notebooks name one that may not be installed here
    with closed_output_ends_quietly():
        if sys.argv[1:2] == ["--version"]:
            print(f"falsr-nas {__version__}")
            return
        arguments = _translated(name, schemas, sys.argv[1:])
        import hydra

        # Exceptions come to us instead of being printed by Hydra.
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")
        sys.argv[1:] = [*arguments.options, *arguments.overrides]
        schemas.register(name)
        if arguments.asks_for_help:
            from falsr_nas.cli.help import print_help

            with _mistakes_explained(schemas):
                print_help(name, schemas, arguments.overrides)
            return
        job = _Job(name, schemas, task)
        try:
            with _mistakes_explained(schemas):
                hydra.main(version_base="1.3", config_path=config_path(), config_name=name)(job)()
        except JobError as error:
            fail(f"a run of the sweep failed: {error}")
        except SearchError as error:
            print(f"error: a run of the sweep failed: {error}", file=sys.stderr)
            sys.exit(SEARCH_ERROR)
        except (KeyboardInterrupt, Interrupted):
            sys.exit(INTERRUPTED)
        except (OSError, ValueError, TypeError) as error:
            if any(note.startswith(_IN_RUN) for note in getattr(error, "__notes__", ())):
                raise
            if isinstance(error, OSError):
                fail(str(no_folder(Path(error.filename or run_dir()), error)))  # Hydra makes it
            fail(f"an option or a setting has a value of another kind: {error}")


_IN_RUN = "in the run in "
"""Begins the note on an error of the task, which tells it from one of Hydra's own."""


class JobError(Exception):
    """A user's mistake in a job of a sweep, which is on its way to the process of the sweep."""


class _Job:
    """What Hydra calls: the task on a composed config, once, or for each job of a sweep."""

    def __init__(self, name: str, schemas: Schemas, task: Callable[[Any], float | None]) -> None:
        self._name = name
        self._schemas = schemas
        self._task = task
        self._process = os.getpid()  # a launcher may call it in others

    def __call__(self, config: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode
        from omegaconf import OmegaConf
        from omegaconf.errors import MissingMandatoryValue

        try:
            if unknown := unknown_keys(config):
                raise UserError(no_setting(unknown[0], self._schemas))
            if SETTING in config:
                load_plugins(config[SETTING])  # those that a config names, or a job of a sweep
            settings = OmegaConf.to_object(config)
            with interruptible():
                return self._task(settings)
        except SearchError:
            raise  # of a sweep: Hydra keeps it until the other jobs have ended
        except MissingMandatoryValue as error:
            mistake = _required(str(error.full_key), self._name, self._schemas)
        except Exception as error:
            mistake = str(error) if isinstance(error, UserError) else explained(error)
            mistake = mistake or _known(error, self._name) or output_mistake(error)
            if not mistake:
                error.add_note(f"{_IN_RUN}{run_dir()}{self._traceback()}")
                raise
        if HydraConfig.get().mode is not RunMode.MULTIRUN:
            fail(mistake)
        print(f"error: {mistake}", file=sys.stderr)
        # Hydra keeps it, also from other processes and machines, until the other jobs have ended.
        raise JobError(mistake)

    def _traceback(self) -> str:
        """Return the traceback of the current error where it would be lost on the way back."""
        return "" if os.getpid() == self._process else f"\n{traceback.format_exc()}"


@contextmanager
def _mistakes_explained(schemas: Schemas) -> Iterator[None]:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException, UserError) as error:
        fail(_explain(error, schemas))


def _translated(name: str, schemas: Schemas, typed: Sequence[str]) -> Arguments:
    """Translate what is typed, with the options that plug-ins add to config groups."""
    try:
        load_plugins(named_plugins(typed))
        return hydra_arguments(typed, name, schemas)
    except UserError as error:
        fail(str(error))


def _required(key: str, name: str, schemas: Schemas) -> str:
    if key in schemas.words:
        return f"{key} is required: {usage(name, schemas)}"
    return f"{key} is required: give {key}=VALUE, or --{key.replace('_', '-')} VALUE"


def _known(error: Exception, name: str) -> str:
    """Return what to do where a package is missing or a path is too long; else nothing."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"the name of {error.filename} is too long"
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if package not in OF_SEARCH:
        return ""
    return f"{name} needs {package}, which is not installed: pip install 'falsr-nas[search]'"


def fail(message: str) -> NoReturn:
    """Print a user's mistake as one line and exit with 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(USER_ERROR)


def run_dir() -> str:
    """Return this run's folder: ``run_dir`` of the command line, or the job's folder in a sweep."""
    from hydra.core.hydra_config import HydraConfig

    return str(HydraConfig.get().runtime.output_dir)


def job_of_sweep() -> str | None:
    """Return the name of this job's folder in a sweep; None where the command runs once."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    config = HydraConfig.get()
    return str(config.sweep.subdir) if config.mode is RunMode.MULTIRUN else None


def _explain(error: Exception, schemas: Schemas) -> str:
    """Describe a composition error in one line, with the nearest valid key where a key is wrong."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__
    text = "\n".join(str(cause) for cause in causes)
    if match := re.search(
        r"Key '([^']+)' (?:is not in struct|not in '\w+')(?:.*?full_key: (\S+))?", text, re.DOTALL
    ):
        return no_setting(match[2] or match[1], schemas)
    if match := re.search(
        r"Could not find '([^']+)'\s*(?:Available options in '([^']+)':\s*(.*?)\n(?=\S|$))?",
        text + "\n",
        re.DOTALL,
    ):
        options = [option for option in (match[3] or "").split() if not option.endswith("_schema")]
        choose = f": {one_of(match[1].rpartition('/')[2], options)}" if options else ""
        if (match[2] or "") in PLUGGABLE and "?" not in choose:
            choose += ", or give the plug-in that has it (plugins=[...])"
        return f"there is no {match[1]!r}{choose}"
    if match := re.search(r"Could not override '([^']+)'\.?\s*No match in the defaults list", text):
        return no_setting(match[1], schemas)
    full_key = getattr(causes[-1], "full_key", "")
    if "is not a ListConfig" in text:
        return f"{full_key} is a list: give {full_key}=[...], also for a single value"
    first = str(causes[-1]).strip().splitlines()
    where = f"{full_key}: " if full_key else ""
    return where + (first[0] if first else type(error).__name__)
