from .datamodule import SuperResolutionData as SuperResolutionData
from .degradation import downscale as downscale
from .images import read_image as read_image
from .settings import DataSettings as DataSettings
from .settings import Div2kSettings as Div2kSettings
from .settings import FolderSettings as FolderSettings
from .settings import PhotographsSettings as PhotographsSettings
