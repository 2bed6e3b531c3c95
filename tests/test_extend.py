"""Every block of docs/extend.md is run: files, commands, the script, and the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from falsr_nas.archive.store import Store
from test_docs import DRIVER, ROOT, SMALLER, commands, photograph

PAGE = ROOT / "docs" / "extend.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
FILES = {
    match[1]: text
    for language, text in BLOCKS
    if language == "python" and (match := re.match(r"# (\w+\.py)\n", text))
}
SCRIPTS = [text for language, text in BLOCKS if language == "python" and text not in FILES.values()]
PROJECTS = [tomllib.loads(text) for language, text in BLOCKS if language == "toml"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extend")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    shutil.copytree(ROOT / "plugins", folder / "plugins")
    photograph(folder / "photo.jpg", 77)
    photograph(folder / "benchmark" / "Set5" / "one_HR.png", 5)
    return folder


def test_there_is_no_other_kind_of_block() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python", "toml"}
    assert set(FILES) == {"my_cells.py", "my_scores.py", "my_controller.py", "my_objective.py"}
    lines = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    assert len(lines) == len(commands(PAGE)), "each line is one of our commands"


def test_every_command_runs(workspace: Path) -> None:
    ran = [command for command in commands(PAGE) if "plugins=[mine]" not in command]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=workspace,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for module, *arguments in ran:
        name = module.removeprefix("falsr_nas.")
        own = any(one.startswith("evaluator") for one in arguments)
        smaller = [one for one in SMALLER.get(name, ()) if not (own and "evaluator" in one)]
        smaller = [] if "--help" in arguments else smaller
        driver.stdin.write(json.dumps([module, *arguments, *smaller]) + "\n")
    output, errors = driver.communicate(timeout=300)
    codes = re.findall(r"=== exit (\S+)", output)
    assert codes == ["0"] * len(ran), errors[-3000:]
    assert re.search(r"controller\.random +0\.3", output), (
        "--help shows the settings of the controller"
    )
    with Store(workspace / "outputs" / "relinked" / "search.db") as store:
        made = {one.candidate.origin.operators for one in store.evaluations()}
    assert made == {("sampled",), ("relinked",)}


def test_the_script_runs(workspace: Path) -> None:
    (code,) = SCRIPTS
    (workspace / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=workspace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    cost, front = done.stdout.splitlines()
    assert cost.startswith("Cost(params=")
    assert int(front) > 0


def test_the_package_is_found_by_its_entry_point(workspace: Path, tmp_path: Path) -> None:
    (project,) = PROJECTS
    about = project["project"]
    (module,) = project["tool"]["setuptools"]["py-modules"]
    # What pip makes of it, without pip, which would need the network.
    shutil.copy(workspace / f"{module}.py", tmp_path)
    info = tmp_path / f"{module}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {about['name']}\nVersion: {about['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in named.items())
        for group, named in about["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    (command,) = [one for one in commands(PAGE) if "plugins=[mine]" in one]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sepCon_f16_k3_b2_isskip" in done.stdout
