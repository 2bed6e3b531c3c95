from .progress import Progress as Progress
from .settings import TrackingSettings as TrackingSettings
from .weights_and_biases import open_tracker as open_tracker
from .weights_and_biases import open_training_tracker as open_training_tracker
