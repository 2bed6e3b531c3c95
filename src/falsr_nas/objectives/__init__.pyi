from .objective import OBJECTIVES as OBJECTIVES
from .objective import Objective as Objective
from .problem import Problem as Problem
from .problem import scored as scored
from .selection import select as select
from .settings import Constraints as Constraints
from .summary import SearchSummary as SearchSummary
from .summary import summarise as summarise
