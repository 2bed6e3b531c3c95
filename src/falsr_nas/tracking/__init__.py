"""Metrics of a running search or training: Weights & Biases, progress in the terminal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
