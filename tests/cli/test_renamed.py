"""Settings of version 0.1: its commands and run folders still work."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from falsr_nas.archive.database import StoreError
from falsr_nas.archive.store import Store
from falsr_nas.cli.command import arguments_of_today
from falsr_nas.cli.renamed import ADDED, RENAMED, brought_up_to_date
from falsr_nas.controller.settings import HybridSettings, NSGA2Settings
from falsr_nas.core.comparison import OPTION_GROUPS, differences
from falsr_nas.search.config import SearchConfig, identity

SEARCH = [sys.executable, "-m", "falsr_nas.search", "evaluator=synthetic", "execution=inline"]
OLD = {new: old for old, new in RENAMED.items()}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SEARCH, *arguments], capture_output=True, text=True, check=False)


def test_every_new_name_is_a_setting() -> None:
    names = identity(SearchConfig(controller=HybridSettings()))
    assert set(RENAMED.values()) <= names.keys()
    assert not set(RENAMED) & names.keys()


@pytest.mark.parametrize("controller", [NSGA2Settings(), HybridSettings()], ids=["nsga2", "hybrid"])
def test_searches_of_version_0_1_have_all_settings_of_today(controller: NSGA2Settings) -> None:
    """A setting that is new since then is in ADDED, with the value that does what 0.1 did."""
    name = "hybrid" if isinstance(controller, HybridSettings) else "nsga2"
    stored = json.loads(Path(__file__).with_name("settings_of_version_0_1.json").read_text())[name]
    today = identity(SearchConfig(controller=controller))
    assert brought_up_to_date(stored, today).keys() == today.keys() - set(OPTION_GROUPS)
    settings = differences(stored, today)
    assert not any(f"{group} is" in settings for group in OPTION_GROUPS), "0.1 had these options"


def test_arguments_are_renamed_with_a_notice(capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        "controller.population=8,16",
        "space.stem=16,32",
        "++training.rate=1e-4",
        "-m",
        "seed=1",
        "~training.ema",
    ]
    assert arguments_of_today(given) == [
        "controller.population_size=8,16",
        "space.stems=[16],[32]",
        "++training.learning_rate=1e-4",
        *given[3:],
    ]
    assert capsys.readouterr().err.splitlines() == [
        "controller.population is now called controller.population_size",
        "space.stem is now called space.stems",
        "training.rate is now called training.learning_rate",
    ]


def test_a_command_of_version_0_1_runs_and_its_run_folder_is_resumed(tmp_path: Path) -> None:
    arguments = (
        "tracking=none",
        # The defaults of version 0.1:
        "controller=nsga2",
        "training.rate=1e-3",
        "training.initialization=he",
        "training.expansion=null",
        "controller.population=4",
        "space.stem=16",
        f"run_dir={tmp_path}",
    )
    done = run(*arguments, "candidates=8")
    assert done.returncode == 0, done.stderr
    assert "controller.population is now called controller.population_size" in done.stderr
    with sqlite3.connect(tmp_path / "search.db") as db:  # as version 0.1 wrote it
        config = json.loads(db.execute("SELECT value FROM about WHERE name='config'").fetchone()[0])
        old = {OLD.get(name, name): value for name, value in config.items()}
        (old["space.stem"],) = old["space.stem"]
        for added in ADDED:
            old.pop(added, None)
        db.execute("UPDATE about SET value = ? WHERE name = 'config'", (json.dumps(old),))
    with Store(tmp_path / "search.db") as store:
        assert store.config["controller.population_size"] == 4
        assert "controller.population" not in store.config
    again = run(*arguments, "candidates=12")
    assert again.returncode == 0, again.stderr
    with Store(tmp_path / "search.db") as store:
        assert store.count() == 12


def test_a_store_of_an_unknown_format_is_refused_in_one_line(tmp_path: Path) -> None:
    assert run("tracking=none", "candidates=4", f"run_dir={tmp_path}").returncode == 0
    with sqlite3.connect(tmp_path / "search.db") as db:
        db.execute("UPDATE about SET value = '1' WHERE name = 'version'")
    with pytest.raises(StoreError, match="another version of falsr_nas"):
        Store(tmp_path / "search.db", {})
    refused = run("tracking=none", "candidates=4", f"run_dir={tmp_path}")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
