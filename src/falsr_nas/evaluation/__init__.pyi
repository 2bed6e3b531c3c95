from .evaluator import Evaluator as Evaluator
from .incomplete_training import IncompleteTraining as IncompleteTraining
from .settings import EVALUATORS as EVALUATORS
from .settings import EvaluationContext as EvaluationContext
from .settings import EvaluatorSettings as EvaluatorSettings
from .settings import IncompleteTrainingSettings as IncompleteTrainingSettings
from .settings import SyntheticSettings as SyntheticSettings
from .synthetic import SyntheticEvaluator as SyntheticEvaluator
