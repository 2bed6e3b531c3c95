"""Plug-ins for tests: operator, evaluator, controller and objective, as users write them."""

OPERATOR = """
from torch import nn

from falsr_nas.networks.cells import conv
from falsr_nas.space import OPERATORS, Conv, OperatorKind


def convs(cell, inputs):
    yield Conv(inputs, cell.channels, cell.kernel)


class Plain(nn.Module):
    def __init__(self, cell, inputs):
        super().__init__()
        self.layer = conv(inputs, cell.channels, cell.kernel)

    def forward(self, x):
        return self.layer(x)


OPERATORS.register(OperatorKind(name="linear", convs=convs, module=Plain))
"""

EVALUATOR = """
from dataclasses import dataclass

from falsr_nas.archive import Score
from falsr_nas.evaluation import EVALUATORS, EvaluatorSettings


@EVALUATORS.register("links", lambda settings, context: Links(settings))
@dataclass(frozen=True)
class LinksSettings(EvaluatorSettings):
    bonus: float = 0.5


class Links:
    def __init__(self, settings):
        self.settings = settings

    def prepare(self):
        pass

    def evaluate(self, candidate):
        links = sum(map(len, candidate.genome.links))
        psnr = 25 + self.settings.bonus * links
        return Score(mse=10.0, psnr=psnr, seconds=0.0)
"""

CONTROLLER = """
from dataclasses import dataclass

from falsr_nas.archive import Origin
from falsr_nas.controller import CONTROLLERS, BaseController, ControllerSettings


class Small(BaseController):
    def draw(self):
        genomes = [self.space.sample(self.rng) for _ in range(self.settings.tries)]
        return min(genomes, key=lambda one: len(str(one))), Origin(("shortest",))

    def learn(self, evaluations):
        pass


@CONTROLLERS.register("shortest", Small)
@dataclass(frozen=True)
class SmallSettings(ControllerSettings):
    tries: int = 3
"""

OBJECTIVE = """
from falsr_nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.register(
    Objective("links", "links", "links", "", lambda genome, cost: 1 + sum(map(len, genome.links)))
)
"""
