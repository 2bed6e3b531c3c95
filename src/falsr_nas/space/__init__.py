"""The search space: cells, genomes, costs and published networks. Does not import PyTorch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
