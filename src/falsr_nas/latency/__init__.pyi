from .profile import LatencyProfile as LatencyProfile
from .profile import read_profile as read_profile
