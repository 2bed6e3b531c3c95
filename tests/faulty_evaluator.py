"""An evaluator with given faults, in a module that worker processes can import."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Score
from falsr_nas.core.errors import UserError
from falsr_nas.data.errors import DataError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator


class FaultyEvaluator:
    """The synthetic evaluator, with a fault for some candidates.

    Args:
        faults: the fault of each faulty candidate, by number.
        marks: folder with a file for each fault that has occurred, so that it occurs once; None if
            it occurs at every attempt.
        refuse: whether ``prepare`` raises a UserError.
        log: file that gets a line with the candidate's number at each attempt.
    """

    def __init__(
        self,
        faults: Mapping[int, str] | None = None,
        marks: Path | None = None,
        refuse: bool = False,
        log: Path | None = None,
    ) -> None:
        self.faults = dict(faults or {})
        self.marks = marks
        self.refuse = refuse
        self.log = log
        self.inner = SyntheticEvaluator(SyntheticSettings(), seed=1)

    def prepare(self) -> None:
        if self.refuse:
            raise UserError("no images in nowhere")

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        score = self.inner.evaluate(candidate)
        if self.log is not None:
            with self.log.open("a") as file:  # one short write: lines of processes do not mix
                file.write(f"{candidate.number}\n")
        if (fault := self.faults.get(candidate.number)) and self._occurs(candidate):
            return self._fail(fault, score)
        return score

    def _occurs(self, candidate: Candidate) -> bool:
        if self.marks is None:
            return True
        try:
            (self.marks / str(candidate.number)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _fail(self, fault: str, score: Score) -> Score | Failure:
        match fault:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "kill host":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(3600)
            case "loop":
                while True:
                    time.sleep(1)
            case "child":
                child = subprocess.Popen(["sleep", "3600"])
                assert self.log is not None
                self.log.with_suffix(".pid").write_text(str(child.pid))
                time.sleep(3600)
            case "memory":
                bytearray(1 << 60)
            case "greed":
                hoard = []
                while True:
                    hoard.append(bytearray(os.urandom(1 << 20)) * 16)
                    time.sleep(0.01)
            case "nan":
                return Score(float("nan"), float("nan"), 0.1)
            case "exception":
                raise ZeroDivisionError("a bug")
            case "unpicklable":
                return Score(lambda: score.mse, score.psnr, 0.1)  # type: ignore[arg-type]
            case "image":
                raise DataError("image lost.png cannot be read")
        raise AssertionError(f"no such fault: {fault}")


KINDS = {
    "kill": FailureKind.WORKER_DIED,
    "kill host": FailureKind.WORKER_DIED,
    "loop": FailureKind.TIMEOUT,
    "memory": FailureKind.OUT_OF_MEMORY,
    "greed": FailureKind.OUT_OF_MEMORY,
    "nan": FailureKind.DIVERGED,
    "exception": FailureKind.BUG,
    "unpicklable": FailureKind.BUG,
    "image": FailureKind.BAD_DATA,
}
"""The kind of failure that each fault must cause."""
