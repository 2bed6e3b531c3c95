"""The help of every command, and tab completion."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import falsr_nas.__main__ as umbrella
from falsr_nas.cli.completion import SHELLS, script
from falsr_nas.cli.config import Schemas, config_path
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


COMPLETED = [
    (["up"], {"upscale"}),
    (["upscale", "--mem"], {"--memory-limit"}),
    (["upscale", "ph"], {"photo 1.jpg"}),
    (["upscale", "-o", "hol"], {"holiday/"}),
    (["upscale", "~/hol"], {"~/holiday/"}),
    (["upscale", "model=~/hol"], {"model=~/holiday/"}),
    (["upscale", "nothing"], set()),
    (["upscale", "model=hol"], {"model=holiday/"}),
    (["search", ""], {"demo", "x2_291", "x2_fast", "x2_nano", "x2_paper", "x2_tiny"}),
    (["search", "controller=h"], {"controller=hybrid"}),
    (["search", "--controller", "h"], {"hybrid"}),
    (["search", "--mode", ""], {"generational", "steady"}),
    (["search", "training=paper"], {"training=paper_full", "training=paper_incomplete"}),
    (["search", "+experiment=d"], {"+experiment=demo"}),
    (["train", "trainer.acc"], {"trainer.accelerator="}),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files to complete, and the command in ``bin``."""
    (tmp_path / "photo 1.jpg").touch()
    (tmp_path / "holiday").mkdir()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "falsr-nas"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m falsr_nas "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("typed", "expected"), COMPLETED)
def test_what_can_be_completed(typed: list[str], expected: set[str], folder: Path) -> None:
    done = run("--complete", *typed, cwd=folder, env={**os.environ, "HOME": str(folder)})
    assert done.stdout.splitlines() == sorted(expected), done.stderr


def test_no_schema_is_completed(folder: Path) -> None:
    for group in Schemas.choices(SCHEMAS):
        done = run("--complete", "search", f"{group}=", cwd=folder)
        assert done.stdout and "_schema" not in done.stdout


DRIVERS = {
    "bash": """
        compopt() { :; }
        COMP_LINE="$1"; COMP_POINT=${#1}; _falsr_nas
        for one in "${COMPREPLY[@]}"; do echo "[$one]"; done
    """,
    "zsh": """
        compadd() {
            while [[ $1 != -- ]]; do shift; done
            shift
            for one; do print -r -- "[$one]"; done
        }
        words=(${(z)1}); [[ $1 == *[^\\\\]' ' ]] && words+=(""); CURRENT=$#words
        _falsr_nas
    """,
    "fish": 'for one in (complete -C "$argv[1]"); echo "[$one]"; end',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete(shell: str, folder: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    load = {"zsh": "compdef() { :; }\n"}.get(shell, "") + script(shell)
    (folder / "driver").write_text(f"{load}\n{DRIVERS[shell]}\n")
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "HOME": str(folder)}
    photo = "photo 1.jpg" if shell == "fish" else r"photo\ 1.jpg"  # which escapes it itself
    for line, whole, part in (
        ("falsr-nas ups", "upscale", "upscale"),
        ("falsr-nas search controller=h", "controller=hybrid", "hybrid"),
        ("falsr-nas upscale -o hol", "holiday/", "holiday/"),
        ("falsr-nas upscale pho", photo, photo),
        (r"falsr-nas upscale photo\ ", photo, photo),
        (r"falsr-nas upscale input=photo\ 1", f"input={photo}", photo),
        ("falsr-nas upscale ~/hol", "~/holiday/", "~/holiday/"),
        ("falsr-nas upscale nothing", "", ""),
        ("falsr-nas nothing", "", ""),
    ):
        command = [program, str(folder / "driver"), line]
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        expected = part if shell == "bash" else whole
        assert (line, done.stdout.splitlines()) == (line, [f"[{expected}]"] if expected else []), (
            done.stderr
        )
