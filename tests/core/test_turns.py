"""Turns of processes: who times is alone, and who is killed lets the others in."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from falsr_nas.core import turns

HOLDER = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from falsr_nas.core import turns
with getattr(turns, sys.argv[2])():
    print("in", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def holder(tmp_path: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def entered(what: str) -> threading.Event:
    """Enter in a thread, and return what is set as soon as it is in."""
    inside = threading.Event()

    def enter() -> None:
        with getattr(turns, what)():
            inside.set()

    threading.Thread(target=enter, daemon=True).start()
    return inside


@pytest.mark.parametrize(("held", "wanted"), [("working", "alone"), ("alone", "working")])
def test_a_killed_process_lets_the_others_in(tmp_path: Path, held: str, wanted: str) -> None:
    process = holder(tmp_path, held)
    inside = entered(wanted)
    assert not inside.wait(0.3)
    process.kill()
    assert inside.wait(30)
    process.wait()


def test_those_who_work_do_so_together(tmp_path: Path) -> None:
    process = holder(tmp_path, "working")
    assert entered("working").wait(30)
    process.kill()
    process.wait()


def test_who_waits_to_be_alone_is_let_in_between_two_blocks() -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with turns.working():
                time.sleep(0.02)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    time.sleep(0.1)
    try:
        for _ in range(3):
            assert entered("alone").wait(30)
    finally:
        stop.set()
