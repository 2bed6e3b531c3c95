from .base import BaseController as BaseController
from .controller import Controller as Controller
from .settings import CONTROLLERS as CONTROLLERS
from .settings import ControllerSettings as ControllerSettings
from .settings import HybridSettings as HybridSettings
from .settings import NSGA2Settings as NSGA2Settings
from .settings import RandomSettings as RandomSettings
from .settings import ScreeningSettings as ScreeningSettings
