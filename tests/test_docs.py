"""Every command of the README and of docs/ is run as it is printed, only smaller."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falsr_nas.core import errors
from test_imports import COMMANDS, MAY_IMPORT

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "docs" / "search.md",
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in (
            "profile",
            "train",
            "lightning",
            "evaluate",
            "upscale",
            "video",
            "export",
            "players_and_browsers",
            "report",
            "cluster",
            "errors",
            "commands",
        )
    ),
]
"""In an order in which each finds what those before it have made."""

SMALLER = {
    "profile": ("width=32", "height=16", "minutes=0", "networks=4"),
    "search": ("evaluator=synthetic", "execution=inline", "tracking=none", "candidates=32"),
    "train": (
        "training.epochs=1",
        "training.steps_per_epoch=2",
        "training.batch_size=2",
        "training.patch_size=8",
        "training.warmup=0",
        "tracking=none",
    ),
}

DRIVER = """
import importlib.util, json, sys, traceback
for line in sys.stdin:
    module, *arguments = json.loads(line)
    sys.argv = [module, *arguments]
    sys.orig_argv = ["python", "-m", module, *arguments]
    try:
        is_package = importlib.util.find_spec(module).submodule_search_locations is not None
        importlib.import_module(module + ".__main__" if is_package else module).main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    print("\\n=== exit", code, flush=True)
    print("\\n=== exit", code, file=sys.stderr, flush=True)
"""


def expanded(words: list[str]) -> list[str]:
    """Words as a shell hands them over, of which each page has one pattern at most."""
    images = ("holiday/0001.png", "holiday/0002.png")
    return [name for word in words for name in (images if word == "holiday/*.png" else (word,))]


def commands(page: Path) -> list[list[str]]:
    """The commands in a page's sh blocks: the module and the words after it, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    words = [
        ["python", "-m", f"falsr_nas.{line[1]}", *expanded(line[2:])]
        if line[:1] == ["falsr-nas"] and line[1] in COMMANDS
        else line
        for line in words
    ]
    return [
        line[line.index("-m") + 1 :]
        for line in words
        if line[1:2] == ["-m"] and line[2].startswith("falsr_nas.")
    ]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def photograph(path: Path, seed: int, side: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages speak of."""
    folder = tmp_path_factory.mktemp("docs")
    for seed, name in enumerate(
        ("T91", "BSDS200", "Kodak24", "holiday", "DIV2K/DIV2K_train_HR", "DIV2K/DIV2K_valid_HR")
    ):
        for number in (1, 2):
            photograph(folder / name / f"{number:04}.png", seed + 10 * number)
    for name in ("Set5", "Set14", "B100"):
        photograph(folder / "benchmark" / name / "one_HR.png", 5)
    photograph(folder / "photo.jpg", 77)
    data = os.environ.get("FALSR_NAS_DATA")
    if data:
        shutil.copy(Path(data) / "models" / "FALSR-A.pb", folder)
    return folder


def test_every_command_of_the_pages_runs(workspace: Path) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=workspace,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    ran = []
    for page in PAGES:
        for module, *arguments in commands(page):
            if "FALSR-A.pb" in str(arguments) and not (workspace / "FALSR-A.pb").exists():
                continue  # the published graph is not ours to ship: FALSR_NAS_DATA has it
            smaller = SMALLER.get(module.removeprefix("falsr_nas."), ())
            if any(argument.startswith("execution") for argument in arguments):
                smaller = tuple(
                    setting for setting in smaller if not setting.startswith("execution")
                )
            if any(argument.startswith("rungs.epochs") for argument in arguments):
                smaller = tuple(one for one in smaller if not one.startswith("training.epochs"))
            ran.append((page.name, module, *arguments))
            driver.stdin.write(json.dumps([module, *arguments, *smaller]) + "\n")
    output, errors = driver.communicate(timeout=500)
    codes = re.findall(r"=== exit (\S+)", output)
    told = errors.split("\n=== exit ")
    failed = [
        f"{command}: exit {code}\n{text[-1500:]}"
        for command, code, text in zip(ran, codes, told, strict=False)
        if code != "0"
    ]
    assert not failed, "\n\n".join(failed)
    assert len(codes) == len(ran), errors[-2000:]
    assert {command[1] for command in ran} >= {
        f"falsr_nas.{name}"
        for name in (
            "search",
            "profile",
            "train",
            "evaluate",
            "describe",
            "upscale",
            "export",
            "report",
        )
    }
    for code in (
        block
        for name in ("export", "lightning", "video")
        for block in python_blocks(ROOT / "docs" / f"{name}.md")
    ):
        subprocess.run([sys.executable, "-c", code], cwd=workspace, check=True, capture_output=True)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "python.md"], ids=str)
def test_the_python_examples_run_as_scripts(page: Path, tmp_path: Path) -> None:
    photograph(tmp_path / "photo.jpg", 77)
    photograph(tmp_path / "benchmark" / "Set5" / "one_HR.png", 5)
    blocks = python_blocks(page)
    assert blocks
    for number, code in enumerate(blocks):
        script = tmp_path / f"example_{number}.py"
        script.write_text(code)
        done = subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        assert done.stdout.count("\n") < 60, "the library printed something"
    assert (tmp_path / "larger.png").exists()


def test_every_page_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [
        page.name
        for page in sorted((ROOT / "docs").glob("*.md"))
        if f"docs/{page.name}" not in readme
    ] == []


def test_the_table_of_rooms_is_the_import_rule() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:\.py)?` \| .+ \|(.*)\|$", page, re.MULTILINE)
    assert {room: set(re.findall(r"\w+", rooms)) for room, rooms in rows} == MAY_IMPORT


def test_files_that_the_architecture_names_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w./-]+\.(?:pyi?|js|css|yaml|toml))`", page))
    files = {name for name in named if Path(name).stem != "name"}
    assert len(files) > 30
    folders = (
        ROOT,
        ROOT / "src" / "falsr_nas",
        ROOT / "src/falsr_nas/controller",
        ROOT / "src/falsr_nas/cli",
    )
    assert [
        name for name in sorted(files) if not any((one / name).exists() for one in folders)
    ] == []


def test_the_table_of_exit_codes_is_complete() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    codes = {value for value in vars(errors).values() if isinstance(value, int)}
    assert {int(code) for code in rows} == codes | {0}


def test_links_lead_somewhere() -> None:
    for page in (*PAGES, *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
