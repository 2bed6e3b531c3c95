"""An evaluator that fails as its genome says, importable by spawned workers."""

import os
import signal
import time

from falsr_nas.candidate import Candidate, Failure, FailureKind, Score
from falsr_nas.errors import UserError

FAULTS = {16: "none", 32: "kill", 48: "exception", 64: "loop"}
"""What a candidate of so many channels does to its evaluator."""


class FaultyEvaluator:
    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse

    def prepare(self) -> None:
        if self.refuse:
            raise UserError("no images in nowhere")

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        match FAULTS[candidate.genome.cells[0].channels]:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exception":
                raise ZeroDivisionError("a bug")
            case "loop":
                time.sleep(3600)
        if candidate.genome.cells[0].kernel == 1:
            return Failure(FailureKind.DIVERGED, "nan")
        return Score(100.0 + candidate.number, 28.0, 0.1)
