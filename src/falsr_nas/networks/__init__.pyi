from .baselines import Bicubic as Bicubic
from .network import BilinearResidual as BilinearResidual
from .network import Network as Network
from .profile import network_cost as network_cost
from .profile import thop_cost as thop_cost
from .super_resolver import SuperResolver as SuperResolver
