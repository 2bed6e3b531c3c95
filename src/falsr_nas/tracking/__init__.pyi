from .progress import Progress as Progress
from .settings import TrackingSettings as TrackingSettings
from .trackers import open_tracker as open_tracker
from .trackers import open_training_tracker as open_training_tracker
