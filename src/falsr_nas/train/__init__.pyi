from .config import TrainConfig as TrainConfig
from .network import TrainedModel as TrainedModel
from .run import choose as choose
from .run import train as train
