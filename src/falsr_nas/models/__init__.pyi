from .export import export_model as export_model
from .layout import Layout as Layout
from .model import Model as Model
from .model_file import find_model as find_model
from .model_file import load_model as load_model
from .pretrained import from_pretrained as from_pretrained
from .pretrained import save_pretrained as save_pretrained
from .shipped import SHIPPED_MODELS as SHIPPED_MODELS
