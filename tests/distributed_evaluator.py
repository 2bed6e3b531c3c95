"""An evaluator that works in step with its peer, and fails on one rank as it is told; importable by spawned workers."""

import os
import signal
import time
from collections.abc import Mapping

from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Score


class DistributedEvaluator:
    """Scores in common with the other ranks; takes the process's id for seconds.

    Args:
        faults: a candidate's number to what befalls rank 1, while rank 0 waits for it.
    """

    def __init__(self, faults: Mapping[int, str]) -> None:
        self.faults = dict(faults)

    def prepare(self) -> None:
        import torch.distributed

        torch.distributed.init_process_group("gloo")

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        import torch

        fault = self.faults.get(candidate.number)
        if torch.distributed.get_rank() == 1:
            self._fail(fault)
        number = torch.tensor([float(candidate.number)])
        torch.distributed.all_reduce(number)
        assert number == 2 * candidate.number, "the ranks are out of step"
        if fault == "nan":
            return Failure(FailureKind.DIVERGED, "no number")
        return Score(100.0, 28.0, float(os.getpid()))

    def _fail(self, fault: str | None) -> None:
        match fault:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "memory":
                raise MemoryError("too much")
            case "loop":
                time.sleep(3600)
