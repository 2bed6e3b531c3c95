from .progress import Progress as Progress
from .settings import TrackingSettings as TrackingSettings
from .tracker import open_tracker as open_tracker
from .tracker import open_training_tracker as open_training_tracker
