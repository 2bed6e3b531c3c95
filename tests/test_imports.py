"""Import rules: top-level files are commands, rooms import each other in one direction."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/falsr_nas"

COMMANDS = {
    "search",
    "train",
    "evaluate",
    "upscale",
    "convert",
    "export",
    "describe",
    "profile",
    "report",
}
"""Every command: a file at the top level, or a room with a ``__main__``."""

MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "cli": {"core"},
    "space": {"core"},
    "data": {"core"},
    "networks": {"core", "space"},
    "latency": {"core", "space"},
    "surrogate": {"space"},
    "archive": {"core", "space"},
    "objectives": {"archive", "core", "data", "latency", "space"},
    "controller": {"archive", "core", "objectives", "space", "surrogate"},
    "inference": {"core", "data", "networks"},
    "photo": {"core", "data", "inference", "networks"},
    "models": {"core", "inference", "networks", "photo", "space"},
    "benchmark": {"core", "data", "inference", "models", "networks", "space"},
    "profiling": {"core", "inference", "latency", "models", "networks", "space"},
    "training": {"benchmark", "core", "data", "networks", "space"},
    "evaluation": {"archive", "core", "data", "latency", "profiling", "space", "training"},
    "execution": {"archive", "core", "evaluation"},
    "tracking": {"archive", "core", "objectives"},
    "report": {"archive", "benchmark", "core", "objectives", "space"},
}
"""For each room, the rooms that it may import beside itself. Commands may import all."""

NEEDS_NO_TORCH = {
    "core",
    "cli",
    "space",
    "latency",
    "archive",
    "objectives",
    "surrogate",
    "report",
    "search",
}
"""Rooms that must not import torch. Tracking imports it only where Lightning's loggers are used."""

FILES = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = ["falsr_nas", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def home(module: str) -> str:
    """The room, or the top-level module, that a module of ours is in."""
    return module.split(".")[1] if "." in module else "__init__"


@cache
def imports(path: Path, types: bool = True) -> frozenset[str]:
    """Every module that a file imports anywhere, also inside functions.

    Without ``types``, imports for type annotations alone are left out.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not types:
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{alias.name}" if node.module == "falsr_nas" else node.module
                for alias in node.names
            }
    return frozenset(found)


def test_the_top_level_holds_commands_and_nothing_else() -> None:
    files = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in SOURCE.glob("*/__main__.py")}
    assert files | packages == COMMANDS


def test_every_room_has_a_rule_and_says_what_is_in_it() -> None:
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - {"conf"}
    assert rooms - (COMMANDS - {"report"}) == set(MAY_IMPORT)
    for room in rooms:
        assert ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text()))


def test_rooms_have_no_circles() -> None:
    tuple(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError


def test_modules_have_no_circles() -> None:
    known = {module_name(path) for path in FILES}
    graph = {module_name(path): {name for name in imports(path) if name in known} for path in FILES}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_follow_the_rule(path: Path) -> None:
    module = module_name(path)
    room = home(module)
    is_command = room not in MAY_IMPORT or path.name == "__main__.py"
    for name in imports(path):
        if name.startswith("falsr_nas.") and not is_command:
            allowed = MAY_IMPORT.get(room, set()) | {room, "__init__"}
            assert home(name) in allowed, f"{module} must not import {name}"
    for name in imports(path, types=False):
        top = name.split(".")[0]
        assert top not in ("hydra", "omegaconf") or room == "cli", f"{module} must not import {top}"
        assert top not in ("torch", "pytorch_lightning") or room not in NEEDS_NO_TORCH, (
            f"{module} must not need torch"
        )


def test_no_rule_is_wider_than_needed() -> None:
    for room, allowed in MAY_IMPORT.items():
        files = [
            path for path in FILES if home(module_name(path)) == room and path.name != "__main__.py"
        ]
        used = {
            home(name) for path in files for name in imports(path) if name.startswith("falsr_nas.")
        }
        assert allowed <= used, f"{room} imports nothing of {sorted(allowed - used)}"


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_every_public_name_of_a_room_can_be_imported(room: str) -> None:
    module = __import__(f"falsr_nas.{room}", fromlist=["*"])
    for name in getattr(module, "__all__", []):
        assert getattr(module, name) is not None


@pytest.mark.parametrize("command", ["search", "describe", "upscale", "report"])
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        f"import sys, runpy; sys.argv = ['{command}', '--help']\n"
        "try: runpy.run_module('falsr_nas." + command + "', run_name='__main__', alter_sys=True)\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'pytorch_lightning', 'wandb', 'matplotlib', 'deap', 'moocore', "
        "'skimage', 'scipy', 'PIL'} "
        "& set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stdout
