import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from falsr_nas.archive import database
from falsr_nas.archive.candidate import (
    AttemptOutcome,
    Candidate,
    Evaluation,
    FailedAttempt,
    Failure,
    FailureKind,
    Origin,
    Score,
)
from falsr_nas.archive.database import StoreError
from falsr_nas.archive.store import Store
from falsr_nas.core.errors import UserError
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome

CONFIG = {"seed": 1, "space.n": 7}
INSERT_FAILURE = "INSERT INTO failures (number, key, fate, kind, message, traceback, place) VALUES"


def evaluation(number: int, failed: bool = False) -> Evaluation:
    genome = Genome.parse(f"conv_f{16 + number}_k3_b2_isskip | 0->2")
    origin = Origin(("crossover", "random"), ("a", "b"), -1.5 if number % 2 else None)
    outcome = (
        Failure(FailureKind.DIVERGED, "nan", "trace")
        if failed
        else Score(100.1 + number, 28.1, 3.25)
    )
    return Evaluation(Candidate(genome, genome_cost(genome), origin, number // 4, number), outcome)


def test_added_evaluations_are_read_back(tmp_path: Path) -> None:
    added = [evaluation(i, failed=i == 2) for i in range(5)]
    with Store(tmp_path / "search.db", CONFIG) as store:
        for one in reversed(added):
            store.add(one)
        assert store.evaluations() == added
    with Store(tmp_path / "search.db", CONFIG) as store:
        assert store.evaluations() == added
        assert store.count() == 5
        assert store.config == CONFIG
    assert [path.name for path in tmp_path.iterdir()] == ["search.db"]


def test_state_and_told_marks_change_together(tmp_path: Path) -> None:
    with Store(tmp_path / "search.db", CONFIG) as store:
        assert store.state() is None
        store.add(evaluation(0))
        store.commit_state({"rng": 2**100})
        store.add(evaluation(1))
        assert store.state() == {"rng": 2**100}
        assert store.evaluations(told=True) == [evaluation(0)]
        assert store.evaluations(told=False) == [evaluation(1)]


def test_failed_attempts_are_stored_immediately_and_read_with_their_evaluation(
    tmp_path: Path,
) -> None:
    first = Failure(FailureKind.WORKER_DIED, "SIGKILL", "", "worker 1")
    last = Failure(FailureKind.BUG, "ZeroDivisionError: x", "Traceback...", "worker 0")
    scored, failed, waiting = evaluation(0), evaluation(1), evaluation(2)
    with Store(tmp_path / "search.db", CONFIG) as store:
        store.add_failure(FailedAttempt(1, failed.key, 1, first, AttemptOutcome.RETRIED))
        store.add_failure(FailedAttempt(0, scored.key, 1, first, AttemptOutcome.RETRIED))
        store.add_failure(FailedAttempt(2, waiting.key, 1, last, AttemptOutcome.STOPPED))
        store.add(Evaluation(scored.candidate, scored.outcome, (first,)))
        store.add(Evaluation(failed.candidate, last, (first,)))
    with Store(tmp_path / "search.db") as store:
        assert store.evaluations() == [
            Evaluation(scored.candidate, scored.outcome, (first,)),
            Evaluation(failed.candidate, last, (first,)),
        ]
        assert store.failures() == [
            FailedAttempt(0, scored.key, 1, first, AttemptOutcome.RETRIED),
            FailedAttempt(1, failed.key, 1, first, AttemptOutcome.RETRIED),
            FailedAttempt(1, failed.key, 2, last, AttemptOutcome.INFEASIBLE),
            FailedAttempt(2, waiting.key, 1, last, AttemptOutcome.STOPPED),
        ]


def test_a_store_of_version_0_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "search.db"
    with Store(path, CONFIG) as store:
        store.add(evaluation(0))
    with closing(sqlite3.connect(path)) as db, db:
        for column in ("latency", "latency_spread"):
            db.execute(f"ALTER TABLE evaluations DROP COLUMN {column}")
        db.execute("UPDATE about SET value = '3' WHERE name = 'version'")
    for _ in range(2):
        with Store(path) as store:
            assert store.evaluations() == [evaluation(0)]


@pytest.mark.parametrize("config", [None, CONFIG], ids=["read", "resumed"])
@pytest.mark.parametrize("version", ["2", "5"])
def test_a_file_of_another_format_is_refused_in_one_line_and_unchanged(
    tmp_path: Path, version: str, config: dict | None
) -> None:
    path = tmp_path / "search.db"
    with Store(path, CONFIG) as store:
        store.add(evaluation(0))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE about SET value = ? WHERE name = 'version'", (version,))
    before = path.read_bytes()
    says = rf"search\.db: .*format {version}, this version reads 4[^\n]*Give another run_dir$"
    with pytest.raises(UserError, match=says):
        Store(path, config)
    assert path.read_bytes() == before


def test_a_copy_of_the_file_alone_has_all_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied() -> list[Evaluation]:
        shutil.copy(tmp_path / "search.db", tmp_path / "copy.db")
        with Store(tmp_path / "copy.db") as copy:
            assert copy.config == CONFIG
            return copy.evaluations()

    now = [1000.0]
    monkeypatch.setattr(database.time, "monotonic", lambda: now[0])
    with Store(tmp_path / "search.db", CONFIG) as store:
        assert copied() == []
        now[0] += 5
        store.add(evaluation(0))
        assert copied() == [evaluation(0)]
        store.add(evaluation(1))  # at the same moment: it is in the journal
        now[0] += 5
        store.commit_state({}, [evaluation(2)])
        assert copied() == [evaluation(number) for number in range(3)]


def test_a_failed_merge_neither_repeats_nor_loses_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: database.Database) -> None:
        raise database.DiskFullError("the disk is full")

    with Store(tmp_path / "search.db", CONFIG) as store, monkeypatch.context() as patch:
        store._db._merged = -database.MERGE_SECONDS
        patch.setattr(database.Database, "merge", full)
        store.add(evaluation(0, failed=True))
        assert len(store.failures()) == 1
    with Store(tmp_path / "search.db") as store:
        assert store.evaluations() == [evaluation(0, failed=True)]


def test_another_process_reads_while_one_writes(tmp_path: Path) -> None:
    with Store(tmp_path / "search.db", CONFIG) as writer:
        writer.add(evaluation(0))
        writer._db.execute("BEGIN IMMEDIATE")
        with Store(tmp_path / "search.db") as reader:
            assert reader.evaluations() == [evaluation(0)]


def test_other_settings_are_rejected_and_named(tmp_path: Path) -> None:
    Store(tmp_path / "search.db", CONFIG).close()
    with pytest.raises(UserError, match=r"space\.n is 7 there and 5 here.*another run_dir"):
        Store(tmp_path / "search.db", CONFIG | {"space.n": 5})


def test_files_that_are_not_of_a_search_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text(
        "not a database, but long enough to have a header to look at" * 20
    )
    with pytest.raises(UserError, match="not a file of a search"):
        Store(tmp_path / "text.db", CONFIG)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE apples (n)")
    other.close()
    with pytest.raises(UserError, match="not a file of a search"):
        Store(tmp_path / "other.db", CONFIG)
    (tmp_path / "empty.db").touch()
    with pytest.raises(UserError, match="no search in this file"):
        Store(tmp_path / "empty.db")
    with pytest.raises(UserError, match="no such file"):
        Store(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "search.db", CONFIG) as store:
        store.add(evaluation(0))
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")  # acts like a full disk
        with pytest.raises(UserError, match="the disk is full"):
            store.commit_state({"much": "x" * 100_000})
        assert store.evaluations(told=False) == [evaluation(0)]
        store._db.execute("PRAGMA max_page_count = 100000")
        store.commit_state({"much": "x" * 100_000})
        assert store.evaluations(told=True) == [evaluation(0)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE evaluations SET genome = 'conv_f16'",
        "UPDATE evaluations SET psnr = 'high'",
        "UPDATE evaluations SET mse = x'00ff'",
        "UPDATE evaluations SET params = 'many'",
        "UPDATE evaluations SET operators = '[1'",
        "UPDATE evaluations SET parents = '7'",
        "UPDATE evaluations SET failure = 'tired'",
        "UPDATE about SET value = '[[' WHERE name = 'config'",
        "UPDATE about SET value = '[1, 2]' WHERE name = 'config'",
        "UPDATE about SET value = '7' WHERE name = 'state'",
        "UPDATE about SET value = replace(hex(zeroblob(50000)), '0', '[') WHERE name = 'state'",
        "DELETE FROM about WHERE name = 'config'",
        "ALTER TABLE evaluations DROP COLUMN seconds",
        "DROP TABLE evaluations",
        f"{INSERT_FAILURE} (1, 'k', 'forgotten', 'bug', '', '', '')",
        f"{INSERT_FAILURE} (1, 'k', 'retried', 'tired', '', '', '')",
    ],
)
def test_damaged_content_is_reported_in_one_line(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "search.db"
    with Store(path, CONFIG) as store:
        store.add(evaluation(1))
        store.commit_state({"a": 1})
    with sqlite3.connect(path) as database:
        database.execute(damage)
    database.close()
    with pytest.raises(StoreError, match=r"search\.db: [^\n]+$"), Store(path) as store:
        store.config, store.state(), store.evaluations(), store.failures(), store.count()
    assert [one.name for one in tmp_path.iterdir()] == ["search.db"]  # the journal is closed


def test_a_damaged_schema_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "search.db"
    Store(path, CONFIG).close()
    content = path.read_bytes()
    assert content.count(b"CREATE TABLE evaluations") == 1
    path.write_bytes(content.replace(b"CREATE TABLE evaluations", b"CREATE \x80ABLE evaluations"))
    with pytest.raises(StoreError, match=r"search\.db: [^\n]+$"):
        Store(path)


def test_the_psnr_range_is_stored(tmp_path: Path) -> None:
    with Store(tmp_path / "search.db", CONFIG) as store:
        assert store.psnr_range is None
        store.set_psnr_range((27.25, 31.5))
        store.set_psnr_range((27.5, 31.5))
    with Store(tmp_path / "search.db") as store:
        assert store.psnr_range == (27.5, 31.5)
