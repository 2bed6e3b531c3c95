"""An evaluator of two ranks with given faults, in a module that worker processes can import."""

import os
import signal
import time
from collections.abc import Mapping

from falsr_nas.archive.candidate import Candidate, Failure, FailureKind, Score


class DistributedEvaluator:
    """Evaluates with ``all_reduce`` over both ranks, and returns the process id as seconds.

    Args:
        faults: the fault of rank 1 for each faulty candidate, by number, while rank 0 waits.
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
        assert number == 2 * candidate.number, "the ranks have different candidates"
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
