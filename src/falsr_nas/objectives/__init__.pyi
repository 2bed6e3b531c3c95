from .front import ObjectiveScale as ObjectiveScale
from .front import hypervolume as hypervolume
from .front import pareto_front as pareto_front
from .objective import OBJECTIVES as OBJECTIVES
from .objective import Objective as Objective
from .objective import Objectives as Objectives
from .selection import select as select
