from .config import TrainConfig as TrainConfig
from .run import TrainedModel as TrainedModel
from .run import choose as choose
from .run import train as train
