import numpy as np
import pytest

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.controller.settings import CONTROLLERS
from falsr_nas.core.errors import UserError
from falsr_nas.evaluation.settings import SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.objectives.problem import Problem

EVALUATOR = SyntheticEvaluator(SyntheticSettings(), seed=1)
pytestmark = pytest.mark.usefixtures("controllers_of_plugins")


def test_a_generation_replaces_the_oldest_generation_only() -> None:
    settings = CONTROLLERS.schemas["aging"](population_size=8, generations=3)
    search = CONTROLLERS.build(settings, Problem(), np.random.default_rng(0))
    told: list[Evaluation] = []
    for generation in range(5):
        new = [Evaluation(one, EVALUATOR.evaluate(one)) for one in search.ask(8)]
        search.tell(new)
        told += new
        kept = [one.evaluation.key for one in search.queue]
        assert kept == [one.key for one in told[-24:]]
        if generation:
            parents = {key for one in new for key in one.candidate.origin.parents}
            ages = {generation - one.candidate.generation for one in told if one.key in parents}
            assert ages <= {1, 2, 3}


def test_a_queue_without_a_generation_is_rejected() -> None:
    with pytest.raises(UserError, match=r"controller.generations is 0"):
        CONTROLLERS.schemas["aging"](generations=0)
