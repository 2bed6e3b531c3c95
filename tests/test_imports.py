"""Who may import whom: data flows one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/falsr_nas"

COMMON = {"errors", "candidate", "files"}
"""Plain words that anyone may use."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "space": {"errors"},
    "candidate": {"space"},
    "objectives": {"space"},
    "controller": {"space", "objectives"},
    "networks": {"space"},
    "data": set(),
    "image_quality": {"protocol"},
    "metrics": {"image_quality", "protocol"},
    "protocol": set(),
    "training": {"networks", "data", "space"},
    "evaluation": {"training", "networks", "data", "metrics", "space"},
    "execution": {"evaluation.evaluator", "space"},
    "store": {"space"},
    "report": {"space", "objectives", "store"},
    "tracking": {"space", "objectives"},
    "progress": {"space", "objectives", "tracking"},
    "loop": {
        "controller.controller",
        "controller.settings",
        "execution.executor",
        "execution.retrying",
        "execution.settings",
        "store",
        "space",
    },
    "lock": set(),
    "config": set(),
    "command": {"config"},
}
"""For each part what it may import beside itself and COMMON. Parts that are not here are commands and what only they use: they see all."""

HYDRA = {"config", "command"}
"""The only parts behind the commands that know Hydra and OmegaConf."""


def part(module: str) -> str:
    return module.partition(".")[0]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} if node.module != "falsr_nas" else {f"falsr_nas.{alias.name}" for alias in node.names}
    return found


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_follow_the_rule(path: Path) -> None:
    module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    home = part(module)
    if home not in MAY_IMPORT or path.name == "__main__.py":  # a package's command
        return
    allowed = MAY_IMPORT[home] | COMMON | {home}
    for name in imports(path):
        if name.startswith("falsr_nas."):
            inner = name.removeprefix("falsr_nas.")
            assert part(inner) in allowed or inner in allowed, f"{module} must not import {inner}"
        if part(name) in ("hydra", "omegaconf"):
            assert home in HYDRA, f"{module} must not know {part(name)}"
        if home in ("space", "candidate", "store", "loop", "objectives", "report", "tracking"):
            assert part(name) not in ("torch", "pytorch_lightning"), f"{module} must not need torch"


def test_no_part_of_the_rule_is_stale() -> None:
    there = {part(".".join(path.relative_to(SOURCE).with_suffix("").parts)) for path in FILES}
    assert set(MAY_IMPORT) <= there


@pytest.mark.parametrize("command", ["search", "describe", "upscale", "report"])
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        f"import sys, runpy; sys.argv = ['{command}', '--help']\n"
        "try: runpy.run_module('falsr_nas." + command + "', run_name='__main__', alter_sys=True)\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'pytorch_lightning', 'wandb', 'matplotlib', 'deap', 'moocore', 'skimage', 'scipy', 'PIL'} "
        "& set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stdout
