"""The help of every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import falsr_nas.__main__ as umbrella
from falsr_nas.cli.config import config_path
from falsr_nas.core.version import __version__
from falsr_nas.search.config import SCHEMAS
from test_imports import COMMANDS

ROOT = Path(__file__).parents[2]


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "falsr_nas", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_list_of_commands_is_complete() -> None:
    assert set(umbrella.COMMANDS) == COMMANDS
    done = run()
    assert done.returncode == 0 and done.stdout == run("--help").stdout
    assert all(re.search(rf"^  {name} +\w+", done.stdout, re.MULTILINE) for name in COMMANDS)
    assert run("--version").stdout == f"falsr-nas {__version__}\n"
    assert run("upscale", "--version").stdout == f"falsr-nas {__version__}\n"
    done = run("serach")
    assert (done.returncode, done.stderr) == (
        2,
        "error: there is no command 'serach': did you mean search?\n",
    )


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_explains_every_setting(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Usage: falsr-nas {command}")
    assert max(map(len, lines)) <= 100
    assert any(line.startswith(f"  falsr-nas {command}") for line in lines), "an example"
    assert "_schema" not in done.stdout
    assert "``" not in done.stdout and ":mod:" not in done.stdout
    rows = re.findall(r"^  ([a-z][\w.]+) {2,}(\S.*)$", done.stdout, re.MULTILINE)
    assert len(rows) >= 3
    narrow = run(command, "--help", env={**os.environ, "COLUMNS": "80"}).stdout
    prose = narrow[narrow.index("Settings, with their defaults") :]
    assert max(map(len, prose.splitlines())) <= 90


def test_a_command_without_an_output_says_so() -> None:
    assert "[-o " in run("upscale", "--help").stdout
    assert "-o " not in run("describe", "--help").stdout.splitlines()[0]
    done = run("describe", "FALSR-A", "-o", "a.svg")
    says = "error: describe has no output: redirect standard output (> FILE)\n"
    assert (done.returncode, done.stderr) == (2, says)


def test_help_shows_the_settings_of_the_chosen_options() -> None:
    plain, hybrid = run("search", "--help").stdout, run("search", "controller=hybrid", "-h").stdout
    assert "  * screening" in plain and "  * hybrid" in hybrid
    assert "controller.policy.learning_rate" in hybrid
    assert "controller.policy.learning_rate" not in plain
    small = run("search", "demo", "--help").stdout
    assert re.search(r"^  candidates +24 ", small, re.MULTILINE)
    assert re.search(r"^  candidates +64 ", plain, re.MULTILINE)
    assert re.search(r"^  seed .*\(at least 0\)", plain, re.MULTILINE)


def test_every_option_and_experiment_has_a_line() -> None:
    for command in ("search", "train"):
        done = run(command, "--help").stdout
        start, end = done.index("Experiments:"), done.index("Settings, with their defaults")
        for path in Path(config_path()).glob("*/*.yaml"):
            if path.parent.name in SCHEMAS.groups and f"{path.parent.name}=NAME" in done:
                assert re.search(rf"^  [* ] {path.stem} +\S", done[start:end], re.MULTILINE), path


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_takes_less_than_a_second(command: str) -> None:
    """0.7 s on two idle cores of an AMD EPYC."""
    assert fastest(command, "--help") < 0.7


def fastest(*words: str) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        run(*words)
        times.append(time.perf_counter() - began)
    return min(times)
