from .evaluator import Evaluator as Evaluator
from .incomplete_training import IncompleteTraining as IncompleteTraining
from .landscape import LandscapeEvaluator as LandscapeEvaluator
from .settings import EvaluatorSettings as EvaluatorSettings
from .settings import IncompleteTrainingSettings as IncompleteTrainingSettings
from .settings import LandscapeSettings as LandscapeSettings
from .settings import SyntheticSettings as SyntheticSettings
from .synthetic import SyntheticEvaluator as SyntheticEvaluator
