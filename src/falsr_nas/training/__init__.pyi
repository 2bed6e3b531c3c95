from .full_training import train_fully as train_fully
from .module import SuperResolution as SuperResolution
from .settings import TrainerSettings as TrainerSettings
from .settings import TrainingSettings as TrainingSettings
