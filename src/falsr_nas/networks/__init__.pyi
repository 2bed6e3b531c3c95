from .bicubic import Bicubic as Bicubic
from .counted_cost import network_cost as network_cost
from .counted_cost import thop_cost as thop_cost
from .network import BilinearResidual as BilinearResidual
from .network import Network as Network
from .super_resolver import SuperResolver as SuperResolver
