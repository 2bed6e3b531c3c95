"""What all commands share: configuration by Hydra, errors as one line, exit codes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from falsr_nas.cli.config import Schemas, config_path, experiments, options_of_groups, unknown_keys
from falsr_nas.cli.console import closed_output_ends_quietly
from falsr_nas.core.errors import INTERRUPTED, USER_ERROR, UserError
from falsr_nas.core.files import no_folder
from falsr_nas.core.interruption import Interrupted, exit_quietly_on_signals, interruptible
from falsr_nas.core.plugins import SETTING, load_plugins

if TYPE_CHECKING:
    from omegaconf import DictConfig

PLUGGABLE = ("controller", "evaluator")
"""Config groups to which plug-ins may add options."""


def run_command(
    name: str, schemas: Schemas, task: Callable[[Any], float | None], free_text: Sequence[str] = ()
) -> None:
    """Run ``task`` on the config composed from ``conf/<name>.yaml`` and the command line.

    A user's mistake prints one line and exits with 2, also one in a job of a sweep, whose other
    jobs run all the same. Ctrl-C and SIGTERM exit with 130. ``docs/errors.md`` lists the exit
    codes.

    Args:
        name: of the command, its config file and its schema.
        schemas: of the config and its groups.
        task: called with the config as an instance of ``schemas.command``. What it returns is what
            sweepers optimise.
        free_text: keys whose values on the command line (paths, genomes) are taken literally,
            except in a sweep: spaces, commas and brackets in them need no quoting for Hydra.
    """
    exit_quietly_on_signals()  # before Hydra is imported, which takes a while
    import hydra

    # Exceptions come to us instead of being printed by Hydra.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    with closed_output_ends_quietly():
        sys.argv[1:] = _arguments(sys.argv[1:], free_text)
        with _mistakes_explained(schemas):
            load_plugins(_named_plugins(sys.argv[1:]))  # they have options of config groups
        schemas.register(name)
        if {"-h", "--help"} & set(sys.argv):
            with _mistakes_explained(schemas):
                _print_help(name, schemas)
            return
        job = _Job(schemas, task)
        try:
            with _mistakes_explained(schemas):
                hydra.main(version_base="1.3", config_path=config_path(), config_name=name)(job)()
        except JobError as error:
            fail(f"a run of the sweep failed: {error}")
        except (KeyboardInterrupt, Interrupted):
            sys.exit(INTERRUPTED)
        except OSError as error:
            if job.began:
                raise
            fail(str(no_folder(Path(error.filename or run_dir()), error)))  # Hydra makes it


class JobError(Exception):
    """A user's mistake in a job of a sweep, which is on its way to the process of the sweep."""


class _Job:
    """What Hydra calls: the task on a composed config, once, or for each job of a sweep.

    Attributes:
        began: whether the task was called in this process.
    """

    def __init__(self, schemas: Schemas, task: Callable[[Any], float | None]) -> None:
        self._schemas = schemas
        self._task = task
        self.began = False

    def __call__(self, config: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode
        from omegaconf import OmegaConf
        from omegaconf.errors import MissingMandatoryValue

        try:
            if unknown := unknown_keys(config):
                raise UserError(_no_setting(unknown[0], self._schemas))
            if SETTING in config:
                load_plugins(config[SETTING])  # those that a config names, or a job of a sweep
            settings = OmegaConf.to_object(config)
            self.began = True
            with interruptible():
                return self._task(settings)
        except UserError as error:
            mistake = str(error)
        except MissingMandatoryValue as error:
            mistake = f"{error.full_key} is required: give {error.full_key}=..."
        if HydraConfig.get().mode is not RunMode.MULTIRUN:
            fail(mistake)
        print(f"error: {mistake}", file=sys.stderr)
        # Hydra keeps it, also from other processes and machines, until the other jobs have ended.
        raise JobError(mistake)


@contextmanager
def _mistakes_explained(schemas: Schemas) -> Iterator[None]:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException, UserError) as error:
        fail(_explain(error, schemas))


def _named_plugins(arguments: Sequence[str]) -> list[str]:
    """Return the plug-ins that the command line names, before Hydra composes the config."""
    typed = [text for text in arguments if text.lstrip("+").startswith(f"{SETTING}=")]
    if not typed:  # the parser takes a tenth of a second to load
        return []
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    with suppress(HydraException):  # Hydra will report it
        values = [override.value() for override in OverridesParser.create().parse_overrides(typed)]
        return [str(name) for value in values if isinstance(value, list) for name in value]
    return []


def _arguments(typed: Sequence[str], free_text: Sequence[str]) -> list[str]:
    """Return the command line as Hydra's parser needs it.

    Free text is quoted except in a sweep, and ``-m`` comes first, because the parser refuses an
    option between settings.
    """
    first = sorted(typed, key=lambda argument: argument not in ("-m", "--multirun"))
    is_sweep = first[:1] in (["-m"], ["--multirun"])
    return first if is_sweep else [_quote(argument, free_text) for argument in typed]


def _print_help(name: str, schemas: Schemas) -> None:
    """Print the help of a command: what it does, the options of its groups, and its config.

    Hydra's own help takes five times as long, because it composes every option of every group.
    """
    import hydra
    from omegaconf import OmegaConf, open_dict

    with hydra.initialize_config_dir(config_path(), version_base="1.3"):
        overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        config = hydra.compose(name, overrides, return_hydra_config=True)
    print(config.hydra.help.header)
    with open_dict(config):
        del config["hydra"]
    if schemas.groups:
        options = options_of_groups(schemas.groups)
        print(f"== Config groups (choose with group=option) ==\n{options}\n")
    if found := experiments(name):
        print(f"== Experiments (choose with +experiment=name) ==\n{found}\n")
    how = " (override with key=value)" if schemas.groups else ""
    print(f"== Config{how} ==\n{OmegaConf.to_yaml(config)}\n")


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


def _quote(argument: str, free_text: Sequence[str]) -> str:
    key, equals, value = argument.partition("=")
    taken = equals and key.lstrip("+") in free_text
    if not taken or value[:1] in ("'", '"') or value in ("", "null", "???"):
        return argument
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", value)
    return f"{key}='{escaped}'"


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
        return _no_setting(match[2] or match[1], schemas)
    if match := re.search(
        r"Could not find '([^']+)'\s*(?:Available options in '([^']+)':\s*(.*?)\n(?=\S|$))?",
        text + "\n",
        re.DOTALL,
    ):
        options = [option for option in (match[3] or "").split() if not option.endswith("_schema")]
        choose = f": choose one of {', '.join(options)}" if options else ""
        if (match[2] or "") in PLUGGABLE:
            choose += ", or give the plug-in that has it (plugins=[...])"
        return f"there is no {match[1]!r}{choose}"
    if match := re.search(r"Could not override '([^']+)'\.?\s*No match in the defaults list", text):
        return f"there is no config group {match[1]!r}"
    full_key = getattr(causes[-1], "full_key", "")
    if "is not a ListConfig" in text:
        return f"{full_key} is a list: give {full_key}=[...], also for a single value"
    first = str(causes[-1]).strip().splitlines()
    where = f"{full_key}: " if full_key else ""
    return where + (first[0] if first else type(error).__name__)


def _no_setting(key: str, schemas: Schemas) -> str:
    nearest = schemas.nearest(key)
    if nearest == key:
        return f"there is no setting {key!r} with the chosen {key.partition('.')[0]}"
    return f"there is no setting {key!r}" + (
        f": did you mean {nearest!r}?" if nearest else "; see --help"
    )
