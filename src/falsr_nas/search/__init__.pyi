from .config import SearchConfig as SearchConfig
from .result import SearchResult as SearchResult
from .result import load_search as load_search
from .run import build_controller as build_controller
from .run import build_evaluator as build_evaluator
from .run import build_executor as build_executor
from .run import search as search
