"""A suspended process does not age."""

import os
import signal
import subprocess
import sys
import time

from falsr_nas.core.running_time import LONGEST, RunningTime

SCRIPT = """
import sys, time
from falsr_nas.core.running_time import RunningTime
clock = RunningTime()
print("begun", flush=True)
sys.stdin.readline()
print(clock())
"""


def test_the_clock_runs_with_the_process() -> None:
    clock, began = RunningTime(), time.monotonic()
    time.sleep(0.3)
    assert 0.3 <= clock() <= time.monotonic() - began + 0.1


def test_the_time_of_a_stopped_process_does_not_count() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        process.stdout.readline()
        began = time.monotonic()
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(LONGEST + 1)
        os.kill(process.pid, signal.SIGCONT)
        said, _ = process.communicate("\n", timeout=30)
    assert 0 <= float(said) <= time.monotonic() - began - LONGEST
