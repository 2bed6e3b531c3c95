"""An evaluator that records what it evaluates."""

from falsr_nas.archive.candidate import Candidate, Failure, Score
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator


class RecordingEvaluator:
    """The synthetic evaluator; records what it evaluates and fails at evaluation ``dies_at``."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.inner = SyntheticEvaluator(SyntheticSettings(), seed=1)
        self.done: list[Candidate] = []
        self.dies_at = dies_at

    def prepare(self) -> None: ...

    def evaluate(self, candidate: Candidate) -> Score | Failure:
        if len(self.done) == self.dies_at:
            raise UserError("power failure")  # executors raise only errors of this kind
        self.done.append(candidate)
        return self.inner.evaluate(candidate)

    @property
    def keys(self) -> list[str]:
        return [one.key for one in self.done]
