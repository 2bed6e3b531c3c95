"""``python -m falsr_nas.search``: the search loop, its settings and its result."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
