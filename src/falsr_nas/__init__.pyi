from .core.plugins import load_plugins as load_plugins
from .core.version import __version__ as __version__
from .models.pretrained import from_pretrained as from_pretrained
from .models.pretrained import save_pretrained as save_pretrained
from .search.result import load_search as load_search
