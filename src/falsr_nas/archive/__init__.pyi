from .candidate import Candidate as Candidate
from .candidate import Evaluation as Evaluation
from .candidate import Failure as Failure
from .candidate import FailureKind as FailureKind
from .candidate import Origin as Origin
from .candidate import Score as Score
from .store import Store as Store
