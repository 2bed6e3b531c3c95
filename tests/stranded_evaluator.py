"""An evaluator that hangs on one node of a Ray cluster, in a module that workers can import."""

import os
import time
from pathlib import Path

from falsr_nas.archive.candidate import Candidate, Score
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator


class StrandedEvaluator:
    """The synthetic evaluator, but it hangs on one node.

    Args:
        raylet: process id of the node's raylet.
        marks: folder in which it creates a file, named by its process id, before it hangs.
    """

    def __init__(self, raylet: int, marks: Path) -> None:
        self.raylet = raylet
        self.marks = marks
        self.inner = SyntheticEvaluator(SyntheticSettings(), seed=1)

    def prepare(self) -> None: ...

    def evaluate(self, candidate: Candidate) -> Score:
        if os.environ["RAY_RAYLET_PID"] == str(self.raylet):
            (self.marks / str(os.getpid())).touch()
            time.sleep(3600)
        return self.inner.evaluate(candidate)
