"""Worker processes that take turns, so that other load on the machine affects all equally."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence


class Side:
    """A worker process that is measured, as seen from the parent.

    The worker prints a line when it is ready, one line of numbers for each line that it reads, and
    a last line of numbers when its input ends.

    Args:
        name: name of the worker in tables and errors.
        command: command that starts the worker.
        environment: variables to add to this process's environment.
        stderr: standard error of the worker, as in :class:`subprocess.Popen`.

    Attributes:
        name: name of the worker.
        start: seconds until the worker was ready.
        turns: the numbers of each turn.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        stderr: int | None = None,
    ) -> None:
        self.name = name
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **environment},
        )
        self._read()
        self.start = time.perf_counter() - began
        self.turns: list[list[float]] = []

    def run(self) -> None:
        """Run one turn and append its numbers to ``turns``."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.turns.append([float(number) for number in self._read().split()])

    def finish(self) -> list[float]:
        """Close the worker's input and return the numbers of its last line, if any."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        last = [float(number) for number in self.process.stdout.read().split()]
        if self.process.wait() != 0:
            sys.exit(f"{self.name} failed")
        return last

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(
                f"{self.name} ended early: check that its interpreter has all required packages"
            )
        return line
