"""Signals to real processes."""

import signal
import subprocess
import sys

import pytest

CODE = """
import time
from falsr_nas.core.interruption import Interrupted, interruptible
with interruptible():
    try:
        print("working", flush=True)
        time.sleep(600)
    except Interrupted:
        print("cleaning up", flush=True)
        {cleaning}
        print("clean", flush=True)
"""


def start(cleaning: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(cleaning=cleaning)], stdout=subprocess.PIPE, text=True
    )
    assert heard(process) == "working\n"
    return process


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_cleaning_up_end(number: signal.Signals) -> None:
    process = start("pass")
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == "cleaning up\nclean\n"
    assert process.returncode == 0


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_even_the_cleaning_up(first: signal.Signals) -> None:
    process = start("time.sleep(600)")
    process.send_signal(first)
    assert heard(process) == "cleaning up\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 130
