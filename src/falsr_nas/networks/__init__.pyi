from .baselines import Bicubic as Bicubic
from .network import BilinearResidual as BilinearResidual
from .network import Network as Network
from .super_resolver import SuperResolver as SuperResolver
