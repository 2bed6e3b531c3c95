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
}
"""Files at the top level; ``report`` is a command, too, as ``report/__main__.py``."""

SHARED = {
    "errors",
    "files",
    "plugins",
    "_version",
    "cli.comparison",
    "cli.registry",
    "cli.renamed",
    "cli.settings",
    "cli.spawning",
}
"""Modules that every room may import: they import none."""

MAY_IMPORT: dict[str, set[str]] = {
    "space": set(),
    "data": set(),
    "networks": {"space"},
    "inference": {"data", "networks"},
    "models": {"inference", "networks", "space"},
    "benchmark": {"data", "inference", "models", "networks", "space"},
    "archive": {"data", "space"},
    "controller": {"archive", "space"},
    "training": {"benchmark", "data", "networks", "space"},
    "evaluation": {"archive", "controller", "data", "networks", "space", "training"},
    "execution": {"archive", "evaluation"},
    "tracking": {"archive"},
    "report": {"archive", "benchmark", "space"},
    "cli": set(),
    "loop": {"archive", "controller", "execution"},
}
"""For each room, and the search loop, the rooms that it may import beside itself and SHARED.

Commands may import all."""

NEEDS_NO_TORCH = {
    "space",
    "archive",
    "cli",
    "tracking",
    "loop",
    "files",
    "errors",
    "plugins",
    "report",
}
"""Rooms and modules whose import must not import torch."""

FILES = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = ["falsr_nas", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def home(module: str) -> str:
    """The room, or the top-level module, that a module of ours is in."""
    return module.split(".")[1] if "." in module else "__init__"


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports anywhere, also inside functions, but for types alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
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


def test_files_at_the_top_level_are_commands() -> None:
    there = {path.stem for path in SOURCE.glob("*.py")}
    others = {"loop", "errors", "files", "plugins", "_version", "__init__"}
    assert there == COMMANDS | {"search_config", "train_config"} | others


def test_every_room_has_a_rule_and_says_what_is_in_it() -> None:
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - {"conf"}
    assert rooms | {"loop"} == set(MAY_IMPORT)
    for room in rooms:
        assert ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text()))


def test_rooms_have_no_circles() -> None:
    tuple(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_follow_the_rule(path: Path) -> None:
    module = module_name(path)
    room = home(module)
    if room not in MAY_IMPORT or path.name == "__main__.py":
        return
    allowed = MAY_IMPORT[room] | SHARED | {room}
    for name in imports(path):
        top = name.split(".")[0]
        if top == "falsr_nas":
            inner = name.removeprefix("falsr_nas.")
            assert home(name) in allowed or inner in SHARED, f"{module} must not import {name}"
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


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - {"loop"}))
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
