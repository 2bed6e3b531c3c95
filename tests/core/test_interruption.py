"""Signals to real processes."""

import signal
import subprocess
import sys
from pathlib import Path

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
        # The tests may run under nohup.
        ["env", "--default-signal=HUP", sys.executable, "-c", CODE.format(cleaning=cleaning)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert heard(process) == "working\n"
    return process


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_lets_the_cleaning_up_end(number: signal.Signals) -> None:
    process = start("pass")
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == "cleaning up\nclean\n"
    assert process.returncode == 0


def test_nohup_goes_on_at_a_hangup() -> None:
    code = CODE.format(cleaning="pass").replace("time.sleep(600)", "time.sleep(3); print('done')")
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert heard(process) == "working\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60)[0] == "done\n"
    assert process.returncode == 0


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_even_the_cleaning_up(first: signal.Signals) -> None:
    process = start("time.sleep(600)")
    process.send_signal(first)
    assert heard(process) == "cleaning up\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 130


def test_importing_the_package_leaves_the_handlers_of_a_program_alone(tmp_path: Path) -> None:
    program = tmp_path / "falsr-mine"  # by such a name our commands were once told from others
    program.write_text(
        "import signal\n"
        "numbers = (signal.SIGINT, signal.SIGTERM)\n"
        "before = [signal.getsignal(number) for number in numbers]\n"
        "import falsr_nas, falsr_nas.search, falsr_nas.upscale\n"
        "assert [signal.getsignal(number) for number in numbers] == before\n"
    )
    subprocess.run([sys.executable, program], check=True)


def test_a_command_in_another_thread_installs_no_handlers() -> None:
    code = (
        "import signal, threading\n"
        "from falsr_nas.core.interruption import exit_quietly_on_signals\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "errors = []\n"
        "threading.excepthook = errors.append\n"
        "thread = threading.Thread(target=exit_quietly_on_signals)\n"
        "thread.start()\n"
        "thread.join()\n"
        "assert not errors and signal.getsignal(signal.SIGTERM) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sigusr1_ends_neither_a_command_nor_is_ignored_by_its_children() -> None:
    """A child that ignores it cannot wait for it, as ``xvfb-run`` does."""
    child = "import signal; print(signal.getsignal(signal.SIGUSR1).name)"
    script = (
        "import os, signal, subprocess, sys\n"
        "from falsr_nas.core.interruption import exit_quietly_on_signals\n"
        "exit_quietly_on_signals()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "SIG_DFL\n"), done.stderr
